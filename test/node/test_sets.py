"""StatefulSets and DaemonSets with real containers: the study note's manifests, updates and the way back."""
from harness.cluster import wait_for

CLUSTER = {'images': ('busybox:latest', 'nginx:1.9.1', 'ikubernetes/filebeat:5.6.5-alpine', 'k8s.gcr.io/fluentd-elasticsearch:1.20')}


def pods(cluster, label, namespace='default'):
  return cluster.json('-n', namespace, 'get', 'pods', '-l', label)['items']


def events(cluster, name, namespace='default'):
  items = cluster.json('-n', namespace, 'get', 'events', '--field-selector', f'involvedObject.name={name}')['items']
  return {(e['reason'], e['message']) for e in items}


def rollout(cluster, *arguments):
  return cluster.kubectl('rollout', *arguments, timeout=60).ok()


def test_seed(cluster):
  """09: web-0, then web-1, by their names; 12 and 13: exactly one pod on the node."""
  for name in ('09-statefulset-web.yaml', '12-daemonset-filebeat.yaml', '13-daemonset-fluentd.yaml'):
    cluster.seed(name)
  rollout(cluster, 'status', 'sts/web', '--timeout=40s')
  rollout(cluster, 'status', 'ds/myapp-ds', '--timeout=40s')
  rollout(cluster, 'status', 'ds/fluentd-elasticsearch', '-n', 'kube-system', '--timeout=40s')
  web = pods(cluster, 'app=nginx')
  assert [p['metadata']['name'] for p in web] == ['web-0', 'web-1']
  ready = [next(c for c in p['status']['conditions'] if c['type'] == 'Ready')['lastTransitionTime'] for p in web]
  assert ready[0] <= web[1]['metadata']['creationTimestamp'], 'web-1 before web-0 was ready'
  assert cluster.kubectl('exec', 'web-1', '--', 'hostname').ok() == 'web-1\n'
  said = events(cluster, 'web')
  assert ('SuccessfulCreate', 'create Pod web-0 in StatefulSet web successful') in said, said
  assert len(pods(cluster, 'app=filebeat')) == 1 and len(pods(cluster, 'name=fluentd-elasticsearch', 'kube-system')) == 1
  assert '1         1         1       1            1' in cluster.kubectl('get', 'ds', 'myapp-ds').ok()
  assert '2/2' in cluster.kubectl('get', 'sts', 'web').ok()


def test_seed_pods_come_back(cluster):
  """A pod that is deleted comes back: web-0 under its name, the daemon's as another."""
  before = pods(cluster, 'app=nginx')[0]['metadata']['uid']
  daemon = pods(cluster, 'app=filebeat')[0]['metadata']['name']
  cluster.kubectl('delete', 'pod', 'web-0', daemon, '--grace-period=1').ok()
  wait_for(lambda: cluster.pod('web-0')['metadata']['uid'] != before, 20, 'another web-0')
  cluster.wait_ready('web-0')
  wait_for(lambda: [p['metadata']['name'] for p in pods(cluster, 'app=filebeat')] != [daemon], 20, 'another daemon pod')
  assert len(pods(cluster, 'app=filebeat')) == 1


def test_rollout_and_undo(cluster):
  """`kubectl rollout`: an update of both kinds, its history, and back to what was before."""
  kinds = ('sts/web', 'ds/myapp-ds')
  cluster.kubectl('set', 'env', 'sts/web', 'ADDED=1').ok()
  cluster.kubectl('set', 'env', 'ds/myapp-ds', 'ADDED=1').ok()
  for kind in kinds:
    rollout(cluster, 'status', kind, '--timeout=50s')
  assert cluster.kubectl('exec', 'web-0', '--', 'sh', '-c', 'echo $ADDED').ok() == '1\n'
  for kind in kinds:
    assert '\n2 ' in rollout(cluster, 'history', kind), kind
    rollout(cluster, 'undo', kind)
  for kind in kinds:
    rollout(cluster, 'status', kind, '--timeout=50s')
  assert cluster.kubectl('exec', 'web-0', '--', 'sh', '-c', 'echo $ADDED').ok() == '\n'
  web = cluster.json('get', 'sts', 'web')['status']
  assert web['currentRevision'] == web['updateRevision'] and web['updatedReplicas'] == 2, web
  assert len(cluster.json('get', 'controllerrevisions')['items']) == 4  # two of each: undo makes none


def test_scale_and_delete(cluster):
  cluster.kubectl('scale', 'sts/web', '--replicas=1').ok()
  wait_for(lambda: [p['metadata']['name'] for p in pods(cluster, 'app=nginx')] == ['web-0'], 20, 'web-1 gone')
  cluster.kubectl('delete', 'sts/web', 'ds/myapp-ds', '--wait=false').ok()
  cluster.kubectl('delete', '-n', 'kube-system', 'ds/fluentd-elasticsearch', '--wait=false').ok()
  wait_for(lambda: not pods(cluster, 'app=nginx') + pods(cluster, 'app=filebeat'), 20, 'pods gone')
  wait_for(lambda: not cluster.json('get', 'controllerrevisions')['items'], 20, 'revisions gone')
