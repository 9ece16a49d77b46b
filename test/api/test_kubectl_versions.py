"""The read-only commands, with every kubectl at hand. What a machine lacks is skipped, counted and said."""
import json
import re

from harness import clients
from harness.cluster import Failed

CLUSTER = {'node': False}


def prepare(cluster):
  if cluster.kubectl('get', 'configmap', 'sample').code == 0:
    return
  cluster.create({'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': {'name': 'sample', 'labels': {'app': 'x'}}, 'data': {'a': '1'}}).ok()
  cluster.create({'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': 'waits', 'labels': {'app': 'x'}},
                  'spec': {'containers': [{'name': 'c', 'image': 'busybox'}]}}).ok()
  for rank, name in enumerate(('third', 'second', 'first')):
    cluster.kubectl('create', 'cm', name).ok()
    cluster.kubectl('label', 'cm', name, f'rank={rank}').ok()
  cluster.create({'apiVersion': 'coordination.k8s.io/v1', 'kind': 'Lease', 'metadata': {'name': 'held', 'namespace': 'kube-node-lease'}}).ok()
  cluster.create({'apiVersion': 'v1', 'kind': 'Secret', 'metadata': {'name': 'hidden'}, 'stringData': {'k': 'v'}}).ok()
  cluster.create({'apiVersion': 'v1', 'kind': 'Event', 'metadata': {'name': 'waits.1', 'namespace': 'default'},
                  'involvedObject': {'kind': 'Pod', 'name': 'waits', 'namespace': 'default', 'apiVersion': 'v1',
                                     'uid': cluster.pod('waits')['metadata']['uid']}, 'reason': 'Told',
                  'message': 'something', 'type': 'Normal', 'count': 1, 'firstTimestamp': '2026-11-23T12:00:00Z',
                  'lastTimestamp': '2026-11-23T12:00:00Z', 'source': {'component': 'test'}}).ok()


def outputs(run):
  """Each command with what its output must hold."""
  pods = run('get', 'pods')
  assert re.search(r'NAME\s+READY\s+STATUS\s+RESTARTS\s+AGE', pods) and re.search(r'waits\s+0/1\s+Pending', pods), pods
  assert re.search(r'IP\s+NODE\s+NOMINATED NODE\s+READINESS GATES', run('get', 'pods', '-o', 'wide'))
  assert json.loads(run('get', 'pod', 'waits', '-o', 'json'))['kind'] == 'Pod'
  assert 'kind: Pod' in run('get', 'pod', 'waits', '-o', 'yaml')
  assert run('get', 'pods', '-o', 'name').strip() == 'pod/waits'
  assert run('get', 'pod', 'waits', '-o', 'jsonpath={.spec.containers[0].image}') == 'busybox'
  assert 'busybox' in run('get', 'pods', '-o', 'custom-columns=N:.metadata.name,I:.spec.containers[*].image')
  assert 'kube-root-ca.crt' in run('get', 'cm', '-A') and 'sample' in run('get', 'cm', '-l', 'app=x')
  assert 'kube-root-ca.crt' not in run('get', 'cm', '-l', 'app in (x,y),app!=y')
  assert 'sample' in run('get', 'cm', '--field-selector', 'metadata.name=sample')
  by_rank = run('get', 'cm', '-l', 'rank', '--sort-by=.metadata.labels.rank', '-o', 'name').split()
  assert by_rank == ['configmap/third', 'configmap/second', 'configmap/first'], by_rank  # not the order of names
  described = run('describe', 'pod', 'waits')
  assert 'Name:' in described and 'Told' in described and 'something' in described, described
  assert 'Type:  Opaque' in run('describe', 'secret', 'hidden') and 'Data' in run('describe', 'cm', 'sample')
  assert 'Active' in run('describe', 'namespace', 'default') and 'default' in run('describe', 'sa', 'default')
  assert 'IP' in run('describe', 'service', 'kubernetes')
  assert 'container' in run('explain', 'pod.spec.containers').lower()
  recursive = run('explain', 'pod', '--recursive')
  assert 'livenessProbe' in recursive and 'preStop' in recursive
  assert 'port' in run('explain', 'service.spec.ports').lower()
  assert re.search(r'pods\s+po\s+v1\s+true\s+Pod', run('api-resources')), run('api-resources')
  assert 'rbac.authorization.k8s.io/v1' in run('api-versions').split()
  assert 'v1.35' in run('version') and 'is running at' in run('cluster-info')
  assert 'Told' in run('get', 'events')
  assert run('auth', 'can-i', 'create', 'pods').strip() == 'yes'
  assert '*.*' in run('auth', 'can-i', '--list')
  assert run('get', '--raw', '/healthz') == 'ok'
  assert 'clusterrole' in run('get', 'clusterroles', '-o', 'name') and 'admin' in run('get', 'clusterroles')
  assert run('get', 'leases', '-n', 'kube-node-lease', '-o', 'name').strip() == 'lease.coordination.k8s.io/held'
  assert 'kubernetes' in run('get', 'svc,endpoints')


def one_version(version):
  def test(cluster):
    path = clients.kubectls().get(version)
    if not path:
      raise Skip(f'no kubectl 1.{version} here')  # noqa: F821
    prepare(cluster)

    def run(*arguments):
      return cluster.kubectl(*arguments, kubectl=path).ok()
    outputs(run)
    if version >= 26:  # 1.20 has no such command
      assert 'Told' in run('events', '--for', 'pod/waits')
    watch = cluster.popen('get', 'cm', '-w', '-o', 'name', kubectl=path, stdout=-1, text=True)
    try:
      seen = {watch.stdout.readline().strip() for _ in range(5)}
      assert 'configmap/sample' in seen, seen
      name = f'seen-by-{version}'
      run('create', 'cm', name)
      assert watch.stdout.readline().strip() == f'configmap/{name}'
      run('delete', 'cm', name)
    finally:
      watch.terminate()
      watch.wait(10)
  return test


for _version in clients.WANTED:
  globals()[f'test_kubectl_1_{_version}'] = one_version(_version)
