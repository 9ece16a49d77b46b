"""What keeps a server from starting: one clear line, an exit code, and nothing lost."""
import contextlib
import os
import socket
import sqlite3
import subprocess
import tempfile

from harness.cluster import SEAPOD, free_network, free_port, wait_for

SPLIT = False


def in_directory(test):
  """The test gets a directory of its own, which goes with it."""
  def run():
    with tempfile.TemporaryDirectory(prefix='seapod-test-start-') as directory:
      test(directory)
  return run


def command(data, *arguments):
  return [SEAPOD, 'server', '--data-dir', data, '--bind-address', '127.0.0.1', '--secure-port', str(free_port()), *arguments]


def start(data, *arguments, env=None):
  return subprocess.run(command(data, *arguments), capture_output=True, text=True, timeout=20, check=False, env=env, stdin=subprocess.DEVNULL)


@contextlib.contextmanager
def running(data):
  """A server that has come up; ended at the end."""
  process = subprocess.Popen(command(data, '--no-node'), stderr=subprocess.DEVNULL)
  try:
    wait_for(lambda: os.path.exists(os.path.join(data, 'kubeconfig')), 20, 'the server')
    yield process
  finally:
    process.terminate()
    assert process.wait(20) == 0


def one_line(result, code, *texts):
  lines = [l for l in result.stderr.splitlines() if l.startswith('seapod ')]
  assert result.returncode == code and len(lines) == 1, (result.returncode, result.stderr)
  for text in texts:
    assert text in lines[0], lines
  return lines[0]


@in_directory
def test_port_in_use(data):
  with socket.socket() as s:
    s.bind(('127.0.0.1', 0))
    s.listen()
    port = s.getsockname()[1]
    one_line(start(data, '--no-node', '--secure-port', str(port)), 1, 'cannot listen', str(port), 'Address already in use')


@in_directory
def test_port_of_the_node_in_use(data):
  parent = '/' + os.path.basename(data)
  with socket.socket() as s:
    s.bind(('127.0.0.1', 0))
    s.listen()
    port = s.getsockname()[1]
    one_line(start(data, '--node-api-port', str(port), '--cgroup-parent', parent, '--cluster-cidr', free_network(), '--node-ip', '127.0.0.1'),
             1, 'node endpoint', str(port), 'Address already in use')
  subprocess.run([SEAPOD, 'cleanup', '--yes', '--data-dir', data, '--cgroup-parent', parent], check=True)


@in_directory
def test_config_that_cannot_be_read(data):
  one_line(start(data, '--no-node', '--config', '/no/such/file'), 2, '/no/such/file', 'No such file')
  path = os.path.join(data, 'config.yaml')
  for text, said in (('bind-adress: 127.0.0.1\n', 'unknown setting "bind-adress"'), ('a:\n\tb: c\n', 'line 2')):
    with open(path, 'w', encoding='utf-8') as file:
      file.write(text)
    one_line(start(data, '--no-node', '--config', path), 2, said)


@in_directory
def test_unknown_flag(data):
  one_line(start(data, '--no-such-flag'), 2, 'unknown flag "--no-such-flag"')


@in_directory
def test_data_directory_of_a_newer_version(data):
  path = os.path.join(data, 'store.db')
  with running(data):
    pass
  database = sqlite3.connect(path)
  database.execute('pragma user_version = 999')
  database.commit()
  rows = database.execute('select count(*) from sqlite_master').fetchone()
  database.close()
  with open(path, 'rb') as file:
    before = file.read()
  one_line(start(data, '--no-node'), 1, 'newer')
  with open(path, 'rb') as file:
    assert rows[0] > 0 and file.read() == before


@in_directory
def test_two_servers_on_one_directory(data):
  with running(data) as process:
    one_line(start(data, '--no-node'), 1, 'in use', str(process.pid))


@in_directory
def test_missing_crun(data):
  result = start(data, env={'PATH': data})
  assert result.returncode == 1 and 'crun is not installed (apt-get install crun)' in result.stderr, result.stderr


@in_directory
def test_unknown_controller(data):
  one_line(start(data, '--no-node', '--controllers', '*,-nothing'), 1, 'there is no controller "-nothing"')


def test_a_cgroup_hierarchy_that_is_not_mounted():
  with open('/proc/self/mounts', encoding='utf-8') as mounts:
    if not any(line.split()[1] == '/sys/fs/cgroup/pids' for line in mounts):
      raise Skip('cgroup v2 alone')  # noqa: F821: given by test/run
  script = f'umount /sys/fs/cgroup/pids && ! {SEAPOD} check && {SEAPOD} check --fix && {SEAPOD} check'
  said = subprocess.run(['unshare', '--mount', 'sh', '-c', script], capture_output=True, text=True, check=True).stdout
  assert 'a cgroup hierarchy is not mounted: pids (mkdir -p /sys/fs/cgroup/pids && mount' in said, said
  assert 'mended: cgroup controller pids mounted as v1' in said, said
