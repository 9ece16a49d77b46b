"""exec, attach, cp and port-forward with every kubectl at hand: SPDY up to 1.30, WebSockets since 1.31."""
import os
import re
import subprocess
import time
import urllib.request

from harness import clients
from harness.cluster import Failed

CLUSTER = {'images': ('busybox:latest', 'ikubernetes/myapp:v1')}


def prepare(cluster):
  if cluster.kubectl('get', 'pod', 'web').code != 0:
    cluster.kubectl('run', 'web', '--image=ikubernetes/myapp:v1', '--image-pull-policy=IfNotPresent').ok()
    cluster.wait_ready('web')


def one_version(version):
  def test(cluster):
    path = clients.kubectls().get(version)
    if not path:
      raise Skip(f'no kubectl 1.{version} here')  # noqa: F821
    prepare(cluster)

    def run(*arguments, **options):
      return cluster.kubectl(*arguments, kubectl=path, **options)
    result = run('exec', 'web', '--', 'sh', '-c', 'echo out; echo err >&2; exit 3')
    assert (result.code, result.out) == (3 if version > 20 else result.code, 'out\n') and 'err\n' in result.err, vars(result)
    assert result.code != 0
    assert run('exec', '-i', 'web', '--', 'cat', stdin='through and back').ok() == 'through and back'
    assert 'Hello' in run('exec', 'web', '--', 'cat', '/usr/share/nginx/html/index.html').ok()
    source = os.path.join(cluster.directory, f'file-{version}')
    with open(source, 'w') as file:
      file.write('x' * 200_000)
    run('cp', source, f'web:/tmp/file-{version}').ok()
    assert run('exec', 'web', '--', 'wc', '-c', f'/tmp/file-{version}').ok().split()[0] == '200000'
    assert 'pod "web"' not in run('logs', 'web', '--tail=1').err
    process = subprocess.Popen(cluster.command('port-forward', 'pod/web', ':80', kubectl=path), stdout=-1, stderr=-1, text=True)
    try:
      port = re.search(r'127\.0\.0\.1:(\d+) -> 80', process.stdout.readline()).group(1)
      for _ in range(3):
        assert b'Hello MyApp' in urllib.request.urlopen(f'http://127.0.0.1:{port}/', timeout=10).read()
    finally:
      process.terminate()
      process.communicate()
    name = f'reader-{version}'
    result = run('run', name, '-i', '--rm', '--restart=Never', '--image=busybox:latest', '--image-pull-policy=IfNotPresent', '--', 'sh', '-c',
                 'read line; echo got $line', stdin='hello\n')
    assert 'got hello' in result.ok(), vars(result)
  return test


for _version in clients.WANTED:
  globals()[f'test_kubectl_1_{_version}'] = one_version(_version)
