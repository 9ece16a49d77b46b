"""The pod's infra container: first, holding the namespaces that the others join; its life is the pod's."""
import os
import signal
import urllib.request

from harness.cluster import Failed, condition, container_status, wait_for

CLUSTER = {'images': ('busybox:latest', 'ikubernetes/myapp:v1')}

POD = {
    'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': 'two'},
    'spec': {'terminationGracePeriodSeconds': 1, 'containers': [
        {'name': 'web', 'image': 'ikubernetes/myapp:v1', 'imagePullPolicy': 'IfNotPresent'},
        {'name': 'side', 'image': 'busybox:latest', 'imagePullPolicy': 'IfNotPresent', 'command': ['sleep', '100000']},
    ]},
}


def processes(cluster, text):
  """Pids in the cluster's control groups whose command line holds `text`."""
  found = []
  for pid in filter(str.isdigit, os.listdir('/proc')):
    try:
      words = open(f'/proc/{pid}/cmdline', 'rb').read().replace(b'\0', b' ').decode(errors='replace')
      groups = open(f'/proc/{pid}/cgroup').read()
    except OSError:
      continue
    if text in words and (cluster.cgroup_parent in groups or cluster.marker in words):
      found.append(int(pid))
  return found


def namespaces(pid):
  return {kind: os.stat(f'/proc/{pid}/ns/{kind}').st_ino for kind in ('net', 'ipc', 'uts', 'pid', 'mnt')}


def infra(cluster):
  """The infra process: the one in the pod's namespaces that is no container."""
  web = processes(cluster, 'httpd')[0]
  net = namespaces(web)['net']
  for pid in filter(str.isdigit, os.listdir('/proc')):
    try:
      if os.stat(f'/proc/{pid}/ns/net').st_ino == net and 'pause' in open(f'/proc/{pid}/comm').read():
        return int(pid)
    except OSError:
      continue
  raise Failed('no infra process')


def test_containers_join_its_namespaces(cluster):
  cluster.create(POD).ok()
  cluster.wait_ready('two')
  pause, web, side = infra(cluster), processes(cluster, 'httpd')[0], processes(cluster, 'sleep 100000')[0]
  host = namespaces('self')
  for kind in ('net', 'ipc', 'uts'):
    inodes = {namespaces(pid)[kind] for pid in (pause, web, side)}
    assert len(inodes) == 1 and inodes != {host[kind]}, kind
  for kind in ('pid', 'mnt'):
    assert len({namespaces(pid)[kind] for pid in (pause, web, side)}) == 3, kind
  assert open(f'/proc/{pause}/stat').read().split()[21] <= open(f'/proc/{web}/stat').read().split()[21], 'the infra process is first'


def test_infra_process_can_do_nothing(cluster):
  status = dict(line.split(':\t', 1) for line in open(f'/proc/{infra(cluster)}/status').read().splitlines() if ':\t' in line)
  assert status['CapEff'].strip() == '0' * 16 and status['CapBnd'].strip() == '0' * 16
  assert status['NoNewPrivs'].strip() == '1'
  assert status['Uid'].split()[0] != '0'


def test_one_address_localhost_and_host(cluster):
  pod = cluster.pod('two')
  ip = pod['status']['podIP']
  addresses = {cluster.kubectl('exec', 'two', '-c', c, '--', 'hostname', '-i').ok().strip() for c in ('web', 'side')}
  assert addresses == {ip}
  assert 'Hello MyApp' in cluster.kubectl('exec', 'two', '-c', 'side', '--', 'wget', '-qO-', 'http://localhost/').ok()
  assert b'Hello MyApp' in urllib.request.urlopen(f'http://{ip}/', timeout=5).read()
  assert cluster.kubectl('exec', 'two', '-c', 'side', '--', 'hostname').ok().strip() == 'two'


def test_pods_reach_each_other(cluster):
  ip = cluster.pod('two')['status']['podIP']
  cluster.kubectl('run', 'client', '--image=busybox:latest', '--image-pull-policy=IfNotPresent', '--', 'sleep', '1000').ok()
  cluster.wait_ready('client')
  assert cluster.pod('client')['status']['podIP'] != ip
  assert 'Hello MyApp' in cluster.kubectl('exec', 'client', '--', 'wget', '-qO-', f'http://{ip}/').ok()


def test_death_of_the_infra_process_rebuilds_the_sandbox(cluster):
  before = cluster.pod('two')
  os.kill(infra(cluster), signal.SIGKILL)
  after = cluster.wait_pod('two', lambda p: condition(p, 'Ready') == 'True' and
                           all(c['restartCount'] == 1 for c in p['status']['containerStatuses']), 30)
  assert after['metadata']['uid'] == before['metadata']['uid']
  ip = after['status']['podIP']
  assert b'Hello MyApp' in urllib.request.urlopen(f'http://{ip}/', timeout=5).read()
  wait_for(lambda: 'Pod sandbox changed, it will be killed and re-created.' in cluster.kubectl('describe', 'pod', 'two').ok(), 5,
           'the SandboxChanged event')


def test_pause_is_small_and_static(cluster):
  from harness.cluster import BUILD
  path = next(p for p in (os.path.join(BUILD, 'seapod-pause'),) if os.path.exists(p))
  assert os.path.getsize(path) < 64 * 1024
  with open(path, 'rb') as file:
    assert b'ld-linux' not in file.read(), 'no interpreter: static'
