"""kubectl debug: a container is added to a running pod, a copy of a pod, a pod that sees its node."""
import os

from harness.cluster import Failed, condition, wait_for

CLUSTER = {'images': ('busybox:latest', 'ikubernetes/myapp:v1')}

POD = {
    'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': 'web'},
    'spec': {'terminationGracePeriodSeconds': 0, 'containers': [
        {'name': 'web', 'image': 'ikubernetes/myapp:v1', 'imagePullPolicy': 'IfNotPresent'},
        {'name': 'side', 'image': 'busybox:latest', 'imagePullPolicy': 'IfNotPresent', 'command': ['sleep', '100001']}]}}


def ephemeral(pod, name):
  return next((c for c in pod['status'].get('ephemeralContainerStatuses', []) if c['name'] == name), None)


def debug(cluster, *arguments):
  needs_kubectl(28)  # noqa: F821: given by test/run
  return cluster.kubectl('debug', '--image=busybox:latest', '--image-pull-policy=IfNotPresent', *arguments)


def test_ephemeral_container(cluster):
  """It shares the pod's network, and the processes of its target, and of nobody else."""
  cluster.create(POD).ok()
  cluster.wait_ready('web')
  debug(cluster, 'web', '--container=look', '--target=web', '--', 'sleep', '100002').ok()
  pod = cluster.wait_pod('web', lambda p: 'running' in (ephemeral(p, 'look') or {'state': {}})['state'])
  assert condition(pod, 'Ready') == 'True' and '2/2' in cluster.kubectl('get', 'pod', 'web').ok()
  seen = cluster.kubectl('exec', 'web', '-c', 'look', '--', 'ps').ok()
  assert 'httpd' in seen and 'sleep 100002' in seen and 'sleep 100001' not in seen, seen
  assert 'Hello MyApp' in cluster.kubectl('exec', 'web', '-c', 'look', '--', 'wget', '-qO-', 'http://localhost/').ok()
  described = cluster.kubectl('describe', 'pod', 'web').ok()
  assert 'Ephemeral Containers:' in described and 'spec.ephemeralContainers{look}' not in described.split('Events:')[0]


def test_it_ends_once(cluster):
  debug(cluster, 'web', '--container=once', '--', 'sh', '-c', 'echo seen; exit 3').ok()
  pod = cluster.wait_pod('web', lambda p: 'terminated' in (ephemeral(p, 'once') or {'state': {}})['state'])
  assert ephemeral(pod, 'once')['state']['terminated']['exitCode'] == 3 and ephemeral(pod, 'once')['restartCount'] == 0
  assert cluster.kubectl('logs', 'web', '-c', 'once').ok() == 'seen\n'
  assert pod['status']['phase'] == 'Running'


def test_attached(cluster):
  """kubectl debug -i: what it is told goes in, what it says comes out."""
  needs_kubectl(28)  # noqa: F821
  out = cluster.kubectl('debug', '--image=busybox:latest', '--image-pull-policy=IfNotPresent', '--container=talk', '-i', 'web', '--',
                        'sh', '-c', 'read word; echo "heard $word"', stdin='hello\n').ok()
  assert 'heard hello' in out or 'heard hello' in cluster.kubectl('logs', 'web', '-c', 'talk').ok(), out


def test_copy(cluster):
  """--copy-to: another pod like it, with one container more, that sees the others' processes."""
  debug(cluster, 'web', '--copy-to=copy', '--container=look', '--share-processes', '--', 'sleep', '100003').ok()
  cluster.wait_ready('copy')
  seen = cluster.kubectl('exec', 'copy', '-c', 'look', '--', 'ps').ok()
  assert 'httpd' in seen and 'sleep 100001' in seen, seen


def test_node(cluster):
  """A pod in the node's namespaces, with its files below /host."""
  debug(cluster, f'node/{cluster.node_name}', '--profile=sysadmin', '--', 'sleep', '100004').ok()
  name = wait_for(lambda: next(p['metadata']['name'] for p in cluster.json('get', 'pods')['items']
                               if p['metadata']['name'].startswith('node-debugger-')), 10, 'the pod')
  cluster.wait_ready(name)
  assert cluster.kubectl('exec', name, '--', 'cat', '/host/proc/sys/kernel/random/boot_id').ok() == open('/proc/sys/kernel/random/boot_id').read()
  assert str(os.getpid()) in cluster.kubectl('exec', name, '--', 'ls', '/proc').ok().split()
  if os.readlink('/proc/self/ns/net') != cluster.kubectl('exec', name, '--', 'readlink', '/proc/self/ns/net').ok().strip():
    raise Failed("it is not in the host's network namespace")
