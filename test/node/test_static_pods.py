"""Static pods: files of a directory that the node runs, shown in the API by mirror pods."""
import json
import os
import tempfile
import time

from harness.cluster import container_status, wait_for

FOLDER = tempfile.mkdtemp(prefix='seapod-manifests-')
CLUSTER = {'images': ('busybox:latest',), 'arguments': ('--manifests', FOLDER)}


def manifest(name, script='sleep 100000'):
  return {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': name}, 'spec': {'terminationGracePeriodSeconds': 0, 'containers': [
      {'name': 'c', 'image': 'busybox:latest', 'imagePullPolicy': 'IfNotPresent', 'command': ['/bin/sh', '-c', script]}]}}


def put(name, tree):
  """Renamed into place, as an editor would."""
  with open(os.path.join(FOLDER, '.new'), 'w', encoding='utf-8') as file:
    json.dump(tree, file)
  os.rename(os.path.join(FOLDER, '.new'), os.path.join(FOLDER, name))


def gone(cluster, name):
  wait_for(lambda: 'NotFound' in cluster.kubectl('get', 'pod', name).err, 15, f'{name} gone')


def test_follows_its_file(cluster):
  put('web.json', manifest('web', 'echo first; sleep 100000'))
  name = f'web-{cluster.node_name}'
  pod = cluster.wait_ready(name)
  assert pod['metadata']['annotations']['kubernetes.io/config.source'] == 'file'
  assert pod['metadata']['ownerReferences'][0]['kind'] == 'Node'
  assert cluster.kubectl('logs', name).ok() == 'first\n'
  assert cluster.kubectl('exec', name, '--', 'hostname').ok() == name + '\n'
  put('web.json', manifest('web', 'echo second; sleep 100000'))
  wait_for(lambda: cluster.kubectl('logs', name).out == 'second\n', 20, 'the changed pod')
  cluster.wait_ready(name)


def test_it_outlives_its_mirror_and_the_server(cluster):
  name = f'web-{cluster.node_name}'
  before = cluster.wait_ready(name)
  cluster.kubectl('delete', 'pod', name, '--wait=false').ok()
  after = cluster.wait_pod(name, lambda p: p['metadata']['uid'] != before['metadata']['uid'] and 'containerStatuses' in p['status'])
  assert container_status(after)['containerID'] == container_status(before)['containerID']
  cluster.kill()
  os.unlink(os.path.join(FOLDER, 'web.json'))
  put('web.json', manifest('web', 'echo second; sleep 100000'))
  put('late.json', manifest('late'))
  cluster.start()
  cluster.wait_ready(f'late-{cluster.node_name}')
  again = cluster.wait_ready(name)
  assert container_status(again)['containerID'] == container_status(before)['containerID'] and container_status(again)['restartCount'] == 0


def test_no_file_no_pod(cluster):
  for name in ('web', 'late'):
    os.unlink(os.path.join(FOLDER, name + '.json'))
  for name in ('web', 'late'):
    gone(cluster, f'{name}-{cluster.node_name}')
  time.sleep(0.2)
  os.rmdir(FOLDER)
