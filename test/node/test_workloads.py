"""Deployments under kubectl, on real containers: rolled out, undone, paused, restarted, scaled, drained, deleted."""
import time

from harness.cluster import wait_for

CLUSTER = {'images': ('busybox:latest',)}


def deployment(name, replicas=2, text='one', budget=None, **spec):
  container = {'name': 'c', 'image': 'busybox:latest', 'imagePullPolicy': 'IfNotPresent', 'env': [{'name': 'TEXT', 'value': text}],
               'command': ['sh', '-c', 'trap "exit 0" TERM; while :; do sleep 1000 & wait; done']}
  return {'apiVersion': 'apps/v1', 'kind': 'Deployment', 'metadata': {'name': name},
          'spec': {'replicas': replicas, 'selector': {'matchLabels': {'app': name}}, **spec,
                   'template': {'metadata': {'labels': {'app': name}}, 'spec': {'terminationGracePeriodSeconds': 2, 'containers': [container]}}}}


def pods(cluster, name):
  """Those that are not ending."""
  items = cluster.json('get', 'pods', '-l', f'app={name}')['items']
  return [p for p in items if not p['metadata'].get('deletionTimestamp')]


def sets(cluster, name):
  """By revision."""
  items = cluster.json('get', 'rs', '-l', f'app={name}')['items']
  return {s['metadata']['annotations']['deployment.kubernetes.io/revision']: s for s in items}


def texts(cluster, name):
  return {p['spec']['containers'][0]['env'][0]['value'] for p in pods(cluster, name)}


def rollout(cluster, verb, name, *arguments):
  return cluster.kubectl('rollout', verb, f'deployment/{name}', *arguments)


def wait_rolled_out(cluster, name, seconds=40):
  told = rollout(cluster, 'status', name, f'--timeout={seconds}s').ok()
  assert f'deployment "{name}" successfully rolled out' in told, told


def test_life(cluster):
  """Created, updated, undone, scaled, deleted."""
  cluster.create(deployment('web', 3)).ok()
  wait_rolled_out(cluster, 'web')
  line = cluster.kubectl('get', 'deployment', 'web', '--no-headers').ok().split()
  assert line[:4] == ['web', '3/3', '3', '3'], line
  assert len(pods(cluster, 'web')) == 3
  cluster.kubectl('set', 'env', 'deployment/web', 'TEXT=two').ok()
  wait_rolled_out(cluster, 'web')
  assert texts(cluster, 'web') == {'two'}
  first, second = sets(cluster, 'web')['1'], sets(cluster, 'web')['2']
  assert first['spec']['replicas'] == 0 and second['spec']['replicas'] == 3
  history = rollout(cluster, 'history', 'web').ok()
  assert [l.split()[0] for l in history.strip().split('\n')[2:]] == ['1', '2'], history
  assert 'one' in rollout(cluster, 'history', 'web', '--revision=1').ok()
  rollout(cluster, 'undo', 'web').ok()
  wait_rolled_out(cluster, 'web')
  assert texts(cluster, 'web') == {'one'}
  assert sorted(sets(cluster, 'web')) == ['2', '3']
  described = cluster.kubectl('describe', 'deployment', 'web').ok()
  assert 'NewReplicaSetAvailable' in described and 'ScalingReplicaSet' in described, described
  assert f'Scaled up replica set {first["metadata"]["name"]} from 0 to 3' in described, described
  cluster.kubectl('scale', 'deployment', 'web', '--replicas=1').ok()
  wait_for(lambda: len(cluster.json('get', 'pods', '-l', 'app=web')['items']) == 1, 20, 'one pod')
  cluster.kubectl('delete', 'deployment', 'web', '--cascade=orphan').ok()
  time.sleep(0.5)
  assert len(pods(cluster, 'web')) == 1 and len(sets(cluster, 'web')) == 2
  cluster.create(deployment('web', 1)).ok()  # which adopts them
  wait_for(lambda: all(s['metadata'].get('ownerReferences') for s in sets(cluster, 'web').values()), 10, 'adoption')
  cluster.kubectl('delete', 'deployment', 'web', '--cascade=foreground', '--timeout=30s').ok()
  assert cluster.json('get', 'rs,pods', '-l', 'app=web')['items'] == []


def test_pause_resume_restart(cluster):
  cluster.create(deployment('calm', 1)).ok()
  wait_rolled_out(cluster, 'calm')
  rollout(cluster, 'pause', 'calm').ok()
  rollout(cluster, 'restart', 'calm').fails("can't restart paused deployment")
  cluster.kubectl('set', 'env', 'deployment/calm', 'TEXT=two').ok()
  time.sleep(1)
  assert texts(cluster, 'calm') == {'one'}
  rollout(cluster, 'resume', 'calm').ok()
  wait_rolled_out(cluster, 'calm')
  assert texts(cluster, 'calm') == {'two'}
  before = {p['metadata']['name'] for p in pods(cluster, 'calm')}
  rollout(cluster, 'restart', 'calm').ok()
  wait_rolled_out(cluster, 'calm')
  assert before.isdisjoint({p['metadata']['name'] for p in pods(cluster, 'calm')})
  cluster.kubectl('delete', 'deployment', 'calm').ok()


def test_stuck(cluster):
  """An image that is not there: the old pod stays, and the deadline is told."""
  cluster.create(deployment('stuck', 1, progressDeadlineSeconds=2)).ok()
  wait_rolled_out(cluster, 'stuck')
  cluster.kubectl('patch', 'deployment', 'stuck', '-p',
                  '{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"busybox:none","imagePullPolicy":"Never"}]}}}}').ok()
  rollout(cluster, 'status', 'stuck', '--timeout=30s').fails('deployment "stuck" exceeded its progress deadline')
  assert cluster.json('get', 'deployment', 'stuck')['status']['availableReplicas'] == 1
  rollout(cluster, 'undo', 'stuck').ok()
  wait_rolled_out(cluster, 'stuck')
  cluster.kubectl('delete', 'deployment', 'stuck').ok()


def test_recreate(cluster):
  cluster.create(deployment('all', 2, strategy={'type': 'Recreate'})).ok()
  wait_rolled_out(cluster, 'all')
  cluster.kubectl('set', 'env', 'deployment/all', 'TEXT=two').ok()
  seen = []

  def done():
    seen.append({p['spec']['containers'][0]['env'][0]['value'] for p in cluster.json('get', 'pods', '-l', 'app=all')['items']})
    return cluster.json('get', 'deployment', 'all')['status'].get('updatedReplicas') == 2
  wait_for(done, 30, 'recreated')
  assert {'one', 'two'} not in seen, seen
  wait_rolled_out(cluster, 'all')
  cluster.kubectl('delete', 'deployment', 'all').ok()


def test_drain(cluster):
  """A budget keeps a pod on a node that is being drained, until another one can run elsewhere, or the budget is gone."""
  needs_kubectl(21)  # noqa: F821: given by test/run; 1.20 makes budgets of policy/v1beta1
  node = cluster.json('get', 'nodes')['items'][0]['metadata']['name']
  cluster.create(deployment('kept', 2)).ok()
  cluster.kubectl('create', 'pdb', 'kept', '--selector=app=kept', '--min-available=1').ok()
  wait_rolled_out(cluster, 'kept')
  wait_for(lambda: cluster.kubectl('get', 'pdb', 'kept', '--no-headers').ok().split()[3] == '1', 10, 'one disruption allowed')
  drained = cluster.kubectl('drain', node, '--pod-selector=app=kept', '--timeout=6s')
  drained.fails('Cannot evict pod as it would violate the pod\'s disruption budget')
  assert cluster.json('get', 'deployment', 'kept')['status']['availableReplicas'] == 1
  status = cluster.json('get', 'pdb', 'kept')['status']
  assert [status[k] for k in ('disruptionsAllowed', 'currentHealthy', 'desiredHealthy', 'expectedPods')] == [0, 1, 1, 2], status
  cluster.kubectl('uncordon', node).ok()
  wait_rolled_out(cluster, 'kept')
  cluster.kubectl('delete', 'pdb', 'kept').ok()
  cluster.kubectl('drain', node, '--pod-selector=app=kept', '--timeout=30s').ok()
  assert not any(p['spec'].get('nodeName') for p in pods(cluster, 'kept'))
  cluster.kubectl('uncordon', node).ok()
  cluster.kubectl('delete', 'deployment', 'kept').ok()
