"""Seapod is killed and started again: no container notices."""
import os
import time

from harness.cluster import container_status, wait_for

CLUSTER = {'images': ('busybox:latest',)}


def picture(cluster):
  return {p['metadata']['name']: (p['metadata']['uid'], p['status']['phase'], p['status'].get('podIP'),
                                  [(c['name'], c['restartCount'], c.get('containerID')) for c in p['status']['containerStatuses']])
          for p in cluster.json('get', 'pods')['items']}


def test_kill_and_start(cluster):
  for name, script in (('a', 'i=0; while :; do i=$((i+1)); echo line $i; sleep 0.2; done'), ('b', 'sleep 100000')):
    cluster.kubectl('run', name, '--image=busybox:latest', '--image-pull-policy=IfNotPresent', '--', 'sh', '-c', script).ok()
  cluster.create({'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': 'once'}, 'spec': {'restartPolicy': 'Never', 'containers': [
      {'name': 'c', 'image': 'busybox:latest', 'imagePullPolicy': 'IfNotPresent', 'command': ['true']}]}}).ok()
  cluster.wait_ready('a')
  cluster.wait_ready('b')
  cluster.wait_pod('once', lambda p: p['status']['phase'] == 'Succeeded')
  before = picture(cluster)
  for _ in range(3):
    cluster.kill()
    cluster.start()
    wait_for(lambda: cluster.kubectl('exec', 'b', '--', 'true').code == 0, 20, 'exec')
    assert picture(cluster) == before
  logs = cluster.popen('logs', '-f', 'a', '--tail=1', stdout=-1, text=True)
  time.sleep(1)
  logs.terminate()
  lines = logs.communicate()[0].splitlines()
  assert len(lines) >= 3 and lines[-1].startswith('line '), lines
  numbers = [int(line.split()[1]) for line in cluster.kubectl('logs', 'a').ok().splitlines()]
  assert numbers == list(range(1, len(numbers) + 1)), 'the log has no gap'


def test_probes_go_on(cluster):
  """Found again, a pod was ready all the time, and its probes go on, also those that waited for a startup probe."""
  always, ready = ({'exec': {'command': command}, 'periodSeconds': 1, 'failureThreshold': 1, 'timeoutSeconds': 10}
                   for command in (['true'], ['test', '-e', '/tmp/ready']))
  cluster.create({'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': 'probed'}, 'spec': {'terminationGracePeriodSeconds': 0, 'containers': [
      {'name': 'c', 'image': 'busybox:latest', 'imagePullPolicy': 'IfNotPresent', 'command': ['sh', '-c', 'touch /tmp/ready; sleep 1000000'],
       'startupProbe': always, 'readinessProbe': ready},
      {'name': 'plain', 'image': 'busybox:latest', 'imagePullPolicy': 'IfNotPresent', 'command': ['sleep', '1000000']}]}}).ok()
  cluster.wait_ready('probed')

  def since():
    return next(c['lastTransitionTime'] for c in cluster.json('get', 'pod', 'probed')['status']['conditions'] if c['type'] == 'Ready')
  before = since()
  time.sleep(1.1)  # times have whole seconds
  cluster.kill()
  cluster.start()
  wait_for(lambda: cluster.kubectl('exec', 'probed', '-c', 'c', '--', 'true').code == 0, 20, 'exec')
  time.sleep(1)
  assert since() == before, 'it was not ready for a while'
  cluster.kubectl('exec', 'probed', '-c', 'c', '--', 'rm', '/tmp/ready').ok()
  cluster.wait_pod('probed', lambda p: not container_status(p)['ready'])
  cluster.kubectl('delete', 'pod', 'probed').ok()


def test_what_ends_meanwhile_is_noticed(cluster):
  cluster.create({'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': 'ends'}, 'spec': {'restartPolicy': 'Never', 'containers': [
      {'name': 'c', 'image': 'busybox:latest', 'imagePullPolicy': 'IfNotPresent', 'command': ['sh', '-c', 'sleep 2; exit 7']}]}}).ok()
  cluster.wait_pod('ends', lambda p: p['status']['phase'] == 'Running')
  cluster.kill()
  time.sleep(2.5)
  cluster.start()
  pod = cluster.wait_pod('ends', lambda p: p['status']['phase'] == 'Failed')
  assert container_status(pod)['state']['terminated']['exitCode'] == 7


def test_a_pod_deleted_meanwhile_is_removed(cluster):
  """Its object is gone before the node comes back."""
  cluster.kubectl('delete', 'pod', 'b', '--wait=false', '--grace-period=1').ok()
  cluster.kill()
  cluster.start()
  wait_for(lambda: 'NotFound' in cluster.kubectl('get', 'pod', 'b').err, 20, 'pod b gone')


def test_manifests_at_start(cluster):
  """DATA_DIR/manifests/ is applied at each start; what is bad in it holds nothing else up."""
  folder = os.path.join(cluster.data, 'manifests')
  os.makedirs(folder)
  with open(folder + '/a.yaml', 'w', encoding='utf-8') as file:
    file.write('apiVersion: v1\nkind: Namespace\nmetadata: {name: made}\n---\n'
               'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: made}\ndata: {a: "1"}\n---\n')
  with open(folder + '/b.json', 'w', encoding='utf-8') as file:
    file.write('{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "BAD_NAME"}}')
  with open(folder + '/c.yml', 'w', encoding='utf-8') as file:
    file.write('apiVersion: v1\nkind: ConfigMap\nmetadata: {name: last}\ndata: {b: "2"}\n')
  cluster.kill()
  cluster.start()
  got = wait_for(lambda: cluster.kubectl('get', 'cm', 'last', '-o', 'json').code == 0 and cluster.json('get', 'cm', 'last'), 10, 'the last manifest')
  assert got['data'] == {'b': '2'}
  assert cluster.json('-n', 'made', 'get', 'cm', 'settings')['data'] == {'a': '1'}
  assert 'manifest not applied' in cluster.log() and 'BAD_NAME' in cluster.log()
