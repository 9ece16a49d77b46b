"""Whatever is killed, fails or breaks: the node comes to what the API says, tells what happened, and leaves nothing."""
import os
import shutil
import signal
import stat
import tempfile
import time

from harness import inventory
from harness.cluster import Failed, container_status, wait_for

FOLDER = tempfile.mkdtemp(prefix='seapod-shim-')
CLUSTER = {'images': ('busybox:latest', 'ikubernetes/myapp:v1'), 'path': FOLDER}
SPLIT = False  # what is walked here is the node's

with open(os.path.join(FOLDER, 'crun'), 'w', encoding='utf-8') as shim:
  shim.write(f'''#!/bin/sh
for word; do
  [ "$word" = create ] && [ -e {FOLDER}/fail ] && echo "the shim says no" >&2 && exit 1
done
exec {shutil.which('crun')} "$@"
''')
os.chmod(shim.name, stat.S_IRWXU)


def pod(name, script='trap "exit 0" TERM; while :; do sleep 0.1; done', **spec):
  volumes = [{'name': 'v', 'emptyDir': {}}, {'name': 'm', 'emptyDir': {'medium': 'Memory'}}]
  one = {'image': 'busybox:latest', 'imagePullPolicy': 'IfNotPresent', 'command': ['/bin/sh', '-c', script],
         'volumeMounts': [{'name': 'v', 'mountPath': '/v', 'subPath': 'sub'}, {'name': 'm', 'mountPath': '/m'}]}
  return {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': name}, 'spec': {
      'terminationGracePeriodSeconds': 1, 'volumes': volumes,
      'initContainers': [{**one, 'name': 'i', 'command': ['true']}], 'containers': [{**one, 'name': 'c'}, {**one, 'name': 'd'}], **spec}}


def gone(cluster, name, seconds=20):
  wait_for(lambda: 'NotFound' in cluster.kubectl('get', 'pod', name).err, seconds, f'{name} gone')


def of_cluster(cluster, word):
  """Pids of processes whose command line holds the word and names this cluster."""
  found = []
  for pid in filter(str.isdigit, os.listdir('/proc')):
    try:
      words = open(f'/proc/{pid}/cmdline', 'rb').read().replace(b'\0', b' ').decode(errors='replace')
    except OSError:
      continue
    if word in words.split(' ')[0] and (cluster.marker in words or inventory.instance(cluster.data) in words):
      found.append(int(pid))
  return found


def test_killed_at_each_step(cluster):
  """SIGKILL of the server, later and later into the start of a pod and then into its end."""
  for i in range(8):
    cluster.create(pod(f'step{i}')).ok()
    time.sleep(0.012 * i)
    cluster.kill(signal.SIGKILL)
    cluster.start()
    cluster.wait_ready(f'step{i}', 30)
    cluster.kubectl('delete', 'pod', f'step{i}', '--wait=false').ok()
    time.sleep(0.02 * i)
    cluster.kill(signal.SIGKILL)
    cluster.start()
    gone(cluster, f'step{i}')
  left = os.listdir(os.path.join(cluster.data, 'pods')) + of_cluster(cluster, 'conmon')
  wait_for(lambda: not os.listdir(os.path.join(cluster.data, 'pods')) and not of_cluster(cluster, 'conmon'), 10, f'nothing left ({left})')


def test_monitor_killed(cluster):
  """Without conmon nobody would hear of the container's end: it is started anew."""
  cluster.create(pod('watched')).ok()
  before = cluster.wait_ready('watched')
  monitors = of_cluster(cluster, 'conmon')
  if len(monitors) != 2:
    raise Failed(f'{monitors} are the monitors of two containers')
  os.kill(monitors[0], signal.SIGKILL)
  again = cluster.wait_pod('watched', lambda p: sum(c['restartCount'] for c in p['status']['containerStatuses']) == 1 and
                           all(c['ready'] for c in p['status']['containerStatuses']), 30)
  assert again['status']['podIP'] == before['status']['podIP']
  cluster.kubectl('delete', 'pod', 'watched').ok()


def test_runtime_fails(cluster):
  """The runtime's own words are shown; once it works again, the pod runs."""
  flag = os.path.join(FOLDER, 'fail')
  open(flag, 'w', encoding='utf-8').close()
  cluster.create(pod('unlucky', restartPolicy='Always')).ok()
  cluster.create(pod('deleted')).ok()
  init = lambda p: p['status'].get('initContainerStatuses', [{}])[0].get('state', {}).get('waiting', {})
  told = cluster.wait_pod('unlucky', lambda p: init(p).get('reason') == 'CreateContainerError', 20)
  assert 'the shim says no' in init(told)['message'], init(told)
  assert 'Error: ' in cluster.kubectl('describe', 'pod', 'unlucky').ok()
  cluster.kubectl('delete', 'pod', 'deleted').ok()
  os.unlink(flag)
  cluster.wait_ready('unlucky', 30)
  cluster.kubectl('delete', 'pod', 'unlucky').ok()


def test_image_store_damaged(cluster):
  """A layer that is gone, a summary that is garbage: no container is made of it; a new import mends it."""
  store = os.path.join(cluster.data, 'images-store')
  mine = {'terminationGracePeriodSeconds': 0, 'containers': [{'name': 'c', 'image': 'ikubernetes/myapp:v1', 'imagePullPolicy': 'Never'}]}
  layers = set(os.listdir(store + '/layers'))
  for summary in os.listdir(store + '/summaries'):
    with open(f'{store}/summaries/{summary}', 'r+', encoding='utf-8') as file:
      if 'nginx' in file.read():
        file.truncate(20)
  cluster.create({'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': 'broken'}, 'spec': mine}).ok()
  told = cluster.wait_pod('broken', lambda p: container_status(p)['state'].get('waiting', {}).get('reason') in ('ErrImageNeverPull', 'ImageInspectError'))
  assert container_status(told)['state']['waiting']['message'], told
  cluster.import_images('ikubernetes/myapp:v1')
  cluster.wait_ready('broken', 30)
  assert layers == set(os.listdir(store + '/layers'))
  cluster.kubectl('delete', 'pod', 'broken').ok()
  shutil.rmtree(FOLDER)
