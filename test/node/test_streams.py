"""logs, exec, attach, cp, port-forward, run, as people use them."""
import hashlib
import os
import pty
import re
import select
import subprocess
import time
import urllib.request

from harness.cluster import Failed, condition, container_status, wait_for

CLUSTER = {'images': ('busybox:latest', 'ikubernetes/myapp:v1')}


def run(cluster, name, script, *arguments):
  cluster.kubectl('run', name, '--image=busybox:latest', '--image-pull-policy=IfNotPresent', *arguments, '--', 'sh', '-c', script).ok()
  return cluster.wait_ready(name)


def test_logs(cluster):
  run(cluster, 'talk', 'for i in 1 2 3 4 5; do echo out $i; echo err $i >&2; done; sleep 0.5; echo -n no newline; sleep 1000')
  wait_for(lambda: 'err 5' in cluster.kubectl('logs', 'talk').ok(), 5, 'the log')
  lines = cluster.kubectl('logs', 'talk').ok().splitlines()
  assert [l for l in lines if l.startswith('out')] == [f'out {i}' for i in range(1, 6)]
  assert [l for l in lines if l.startswith('err')] == [f'err {i}' for i in range(1, 6)]
  assert len(cluster.kubectl('logs', 'talk', '--tail=3').ok().splitlines()) == 3  # before the unfinished line
  assert cluster.kubectl('logs', 'talk', '--tail=0').ok() == ''
  assert re.match(r'^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|[+-]\d\d:\d\d) ', cluster.kubectl('logs', 'talk', '--timestamps').ok())
  assert cluster.kubectl('logs', 'talk', '--limit-bytes=5').ok() in ('out 1', 'err 1')
  assert cluster.kubectl('logs', 'talk', '--since=1h').ok() != ''
  cluster.kubectl('logs', 'talk', '-p').fails('previous terminated container "talk" in pod "talk" not found')
  cluster.kubectl('logs', 'talk', '-c', 'nope').fails('container nope is not valid for pod talk')
  cluster.kubectl('logs', 'nobody').fails('pods "nobody" not found')


def test_logs_since(cluster):
  run(cluster, 'slow', 'echo early; sleep 3; echo late; sleep 1000')
  wait_for(lambda: 'late' in cluster.kubectl('logs', 'slow').ok(), 10, 'the second line')
  assert cluster.kubectl('logs', 'slow', '--since=2s').ok() == 'late\n'


def test_logs_follow_to_the_end(cluster):
  cluster.create({'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': 'ends'}, 'spec': {'restartPolicy': 'Never', 'containers': [
      {'name': 'c', 'image': 'busybox:latest', 'imagePullPolicy': 'IfNotPresent',
       'command': ['sh', '-c', 'for i in 1 2 3; do echo $i; sleep 0.5; done']}]}}).ok()
  cluster.wait_pod('ends', lambda p: p['status']['phase'] == 'Running')
  assert cluster.kubectl('logs', '-f', 'ends', timeout=20).ok() == '1\n2\n3\n'


def test_exec(cluster):
  run(cluster, 'box', 'sleep 100000')
  assert cluster.kubectl('exec', 'box', '--', 'echo', 'hi').ok() == 'hi\n'
  result = cluster.kubectl('exec', 'box', '--', 'sh', '-c', 'echo out; echo err >&2; exit 3')
  assert (result.code, result.out) == (3, 'out\n') and result.err.startswith('err\n'), vars(result)
  assert 'command terminated with exit code 3' in result.err
  cluster.kubectl('exec', 'box', '--', 'no-such-program').fails('executable file')
  cluster.kubectl('exec', 'box', '-c', 'nope', '--', 'true').fails('container nope is not valid for pod box')


def test_exec_stdin_half_close(cluster):
  """wc ends when its input does, and then still answers."""
  result = subprocess.run(cluster.command('exec', '-i', 'box', '--', 'wc', '-c'), input=b'x' * 5_000_000, capture_output=True, timeout=60,
                          check=False)
  assert (result.returncode, result.stdout.strip()) == (0, b'5000000'), result


def test_exec_big_output(cluster):
  """Tens of megabytes, whole."""
  result = subprocess.run(cluster.command('exec', 'box', '--', 'sh', '-c', 'dd if=/dev/zero bs=1M count=64 2>/dev/null'), capture_output=True,
                          timeout=120, check=False)
  assert len(result.stdout) == 64 << 20


def with_terminal(command, script, until, seconds=20):
  """Runs a command on a pty; sends lines; returns what it printed once `until` is there."""
  pid, fd = pty.fork()
  if pid == 0:
    os.execvp(command[0], command)
  out, end = b'', time.monotonic() + seconds
  for line in script:
    time.sleep(0.7)
    os.write(fd, line)
  while time.monotonic() < end and until not in out:
    if select.select([fd], [], [], 0.2)[0]:
      try:
        out += os.read(fd, 65536)
      except OSError:
        break
  try:
    os.write(fd, b'exit\n')
  except OSError:
    pass
  time.sleep(0.3)
  os.close(fd)
  os.waitpid(pid, 0)
  return out


def test_exec_terminal(cluster):
  out = with_terminal(cluster.command('exec', '-it', 'box', '--', 'sh'), [b'tty && echo it is $((40+2))\n'], b'it is 42')
  assert b'it is 42' in out and b'not a tty' not in out, out


def test_attach(cluster):
  run(cluster, 'ticks', 'i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.3; done')
  process = cluster.popen('attach', 'ticks', stdout=-1, stderr=-1, text=True)
  time.sleep(2)
  process.terminate()
  out, err = process.communicate()
  assert out.count('tick') >= 3, (out, err)


def test_run_interactive(cluster):
  """kubectl run -i: attach with stdin; the container reads it."""
  result = cluster.kubectl('run', 'reader', '-i', '--rm', '--restart=Never', '--image=busybox:latest', '--image-pull-policy=IfNotPresent', '--',
                           'sh', '-c', 'read line; echo got $line', stdin='hello\n', timeout=60)
  assert 'got hello' in result.ok(), vars(result)
  cluster.kubectl('get', 'pod', 'reader').fails('not found')


def test_cp(cluster):
  data = os.urandom(3_000_000)
  path = os.path.join(cluster.directory, 'blob')
  with open(path, 'wb') as file:
    file.write(data)
  cluster.kubectl('cp', path, 'box:/tmp/blob').ok()
  assert hashlib.md5(data).hexdigest() in cluster.kubectl('exec', 'box', '--', 'md5sum', '/tmp/blob').ok()
  cluster.kubectl('cp', 'box:/tmp/blob', path + '.back').ok()
  with open(path + '.back', 'rb') as file:
    assert file.read() == data


def test_port_forward(cluster):
  cluster.kubectl('run', 'web', '--image=ikubernetes/myapp:v1', '--image-pull-policy=IfNotPresent').ok()
  cluster.wait_ready('web')
  process = cluster.popen('port-forward', 'pod/web', ':80', stdout=-1, stderr=-1, text=True)
  try:
    line = process.stdout.readline()
    port = re.search(r'127\.0\.0\.1:(\d+) -> 80', line).group(1)
    for _ in range(5):
      assert b'Hello MyApp' in urllib.request.urlopen(f'http://127.0.0.1:{port}/', timeout=10).read()
  finally:
    process.terminate()
    process.communicate()


def test_wait(cluster):
  cluster.kubectl('wait', '--for=condition=Ready', 'pod/box', '--timeout=10s').ok()
  process = cluster.popen('wait', '--for=delete', 'pod/web', '--timeout=30s', stdout=-1, stderr=-1)
  cluster.kubectl('delete', 'pod', 'web', '--grace-period=1').ok()
  process.communicate(timeout=30)
  assert process.returncode == 0


def test_waiting_container_has_no_log(cluster):
  cluster.create({'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': 'noimage'}, 'spec': {'containers': [
      {'name': 'c', 'image': 'no/such:image', 'imagePullPolicy': 'Never'}]}}).ok()
  cluster.wait_pod('noimage', lambda p: container_status(p)['state'].get('waiting', {}).get('reason') == 'ErrImageNeverPull')
  cluster.kubectl('logs', 'noimage').fails('container "c" in pod "noimage" is waiting to start: trying and failing to pull image')
