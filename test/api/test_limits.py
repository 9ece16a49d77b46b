"""Quotas and limit ranges under kubectl: apimachinery/resource_quota.go and scheduling/limit_range.go of the conformance tests."""
import json

from harness.cluster import wait_for

CLUSTER = {'node': False}
SPLIT = False  # all of it is the API server's and the controllers'


def pod(name, requests=None, limits=None, **spec):
  return {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': name}, 'spec': {
    'terminationGracePeriodSeconds': 0,
    'containers': [{'name': 'c', 'image': 'i', 'resources': {k: v for k, v in (('requests', requests), ('limits', limits)) if v}}], **spec}}


def quota(name, hard, **spec):
  return {'apiVersion': 'v1', 'kind': 'ResourceQuota', 'metadata': {'name': name}, 'spec': {'hard': hard, **spec}}


class Space:
  """A namespace of a test's own."""

  def __init__(self, cluster, name):
    self.cluster, self.n = cluster, ('-n', name)
    cluster.kubectl('create', 'ns', name).ok()
    wait_for(lambda: cluster.kubectl(*self.n, 'get', 'sa', 'default').code == 0, 10, 'the default service account')

  def create(self, manifest, verb='create'):
    return self.cluster.kubectl(*self.n, verb, '-f', '-', stdin=json.dumps(manifest))

  def used(self, name, **expected):
    """Waits until status.used has these; __ stands for a dot."""
    expected = {k.replace('__', '.'): v for k, v in expected.items()}

    def look():
      status = self.cluster.json(*self.n, 'get', 'resourcequota', name)['status']
      return status['hard'] and {k: status['used'].get(k) for k in expected} == expected
    wait_for(look, 10, f'{name} uses {expected}')


def test_life_of_a_pod(cluster):
  space = Space(cluster, 'quota-pod')
  space.create(quota('q', {'pods': '1', 'requests.cpu': '1', 'requests.memory': '500Mi', 'requests.ephemeral-storage': '50Gi'})).ok()
  space.used('q', pods='0', requests__cpu='0')
  space.create(pod('a', {'cpu': '500m', 'memory': '252Mi', 'ephemeral-storage': '30Gi'})).ok()
  space.used('q', pods='1', requests__cpu='500m', requests__memory='252Mi')
  space.create(pod('b', {'cpu': '600m', 'memory': '100Mi'})).fails(
      'pods "b" is forbidden: exceeded quota: q, requested: pods=1,requests.cpu=600m, used: pods=1,requests.cpu=500m, limited: '
      'pods=1,requests.cpu=1')
  space.create(pod('c')).fails('failed quota: q: must specify requests.cpu for: c; requests.memory for: c')
  cluster.kubectl(*space.n, 'delete', 'pod', 'a').ok()
  space.used('q', pods='0', requests__cpu='0', requests__memory='0')


def test_objects_and_kubectl(cluster):
  space = Space(cluster, 'quota-objects')
  cluster.kubectl(*space.n, 'create', 'quota', 'q', '--hard=count/configmaps=2,secrets=1,services=1,services.nodeports=0').ok()
  space.used('q', **{'count/configmaps': '1', 'secrets': '0'})  # kube-root-ca.crt
  cluster.kubectl(*space.n, 'create', 'cm', 'a').ok()
  cluster.kubectl(*space.n, 'create', 'cm', 'b').fails('exceeded quota: q, requested: count/configmaps=1')
  cluster.kubectl(*space.n, 'create', 'service', 'nodeport', 's', '--tcp=80').fails('services.nodeports=1')
  cluster.kubectl(*space.n, 'create', 'secret', 'generic', 's').ok()
  space.used('q', secrets='1')
  assert 'count/configmaps: 2/2' in cluster.kubectl(*space.n, 'get', 'quota', 'q').ok()
  assert 'count/configmaps' in cluster.kubectl(*space.n, 'describe', 'quota', 'q').ok()
  cluster.kubectl(*space.n, 'delete', 'secret', 's').ok()
  space.used('q', secrets='0')
  cluster.kubectl(*space.n, 'patch', 'quota', 'q', '--type=merge', '-p', '{"spec":{"hard":{"count/configmaps":"3"}}}').ok()
  wait_for(lambda: cluster.json(*space.n, 'get', 'quota', 'q')['status']['hard']['count/configmaps'] == '3', 5, 'the new limit')
  cluster.kubectl(*space.n, 'create', 'cm', 'b').ok()
  cluster.kubectl(*space.n, 'delete', 'quota', 'q').ok()
  cluster.kubectl(*space.n, 'create', 'cm', 'c').ok()


def test_scopes(cluster):
  space = Space(cluster, 'quota-scopes')
  space.create(quota('best', {'pods': '5'}, scopes=['BestEffort'])).ok()
  space.create(quota('rest', {'pods': '5'}, scopes=['NotBestEffort'])).ok()
  space.create(quota('ending', {'pods': '5'}, scopes=['Terminating'])).ok()
  space.used('ending', pods='0')
  space.create(pod('a')).ok()
  space.create(pod('b', {'cpu': '1'}, activeDeadlineSeconds=60)).ok()
  for name, count in (('best', '1'), ('rest', '1'), ('ending', '1')):
    space.used(name, pods=count)


def test_quota_status_subresource(cluster):
  needs_kubectl(24)  # noqa: F821: given by test/run
  space = Space(cluster, 'quota-status')
  space.create(quota('q', {'pods': '1'})).ok()
  space.used('q', pods='0')
  cluster.kubectl(*space.n, 'patch', 'quota', 'q', '--subresource=status', '--type=merge', '-p', '{"status":{"used":{"pods":"7"}}}').ok()
  space.used('q', pods='0')  # the controller knows better


def test_limit_range(cluster):
  space = Space(cluster, 'limits')
  limits = {'apiVersion': 'v1', 'kind': 'LimitRange', 'metadata': {'name': 'l', 'labels': {'of': 'test'}}, 'spec': {'limits': [
    {'type': 'Container', 'min': {'cpu': '50m', 'memory': '100Mi'}, 'max': {'cpu': '500m', 'memory': '500Mi'},
     'default': {'cpu': '500m', 'memory': '500Mi'}, 'defaultRequest': {'cpu': '100m', 'memory': '200Mi'}}]}}
  space.create(limits).ok()
  space.create(pod('none')).ok()
  made = cluster.pod('none', 'limits')
  assert made['spec']['containers'][0]['resources'] == {'limits': {'cpu': '500m', 'memory': '500Mi'},
                                                        'requests': {'cpu': '100m', 'memory': '200Mi'}}
  assert made['metadata']['annotations']['kubernetes.io/limit-ranger'].startswith('LimitRanger plugin set: cpu, memory request for container c')
  space.create(pod('partial', {'cpu': '300m'}, {'cpu': '300m'})).ok()
  assert cluster.pod('partial', 'limits')['spec']['containers'][0]['resources']['requests'] == {'cpu': '300m', 'memory': '200Mi'}
  space.create(pod('small', {'cpu': '10m', 'memory': '50Mi'})).fails(
      '[minimum cpu usage per Container is 50m, but request is 10m, minimum memory usage per Container is 100Mi, but request is 50Mi]')
  space.create(pod('large', None, {'cpu': '600m'})).fails('maximum cpu usage per Container is 500m, but limit is 600m')
  cluster.kubectl(*space.n, 'patch', 'limitrange', 'l', '--type=json', '-p',
                  '[{"op":"replace","path":"/spec/limits/0/max/cpu","value":"1"}]').ok()
  space.create(pod('large', None, {'cpu': '600m'})).ok()
  cluster.kubectl(*space.n, 'delete', 'limitrange', '-l', 'of=test').ok()
  space.create(pod('free', {'cpu': '10m'})).ok()
  assert cluster.pod('free', 'limits')['spec']['containers'][0]['resources'] == {'requests': {'cpu': '10m'}}


def test_priority_and_storage_class(cluster):
  space = Space(cluster, 'classes')
  cluster.kubectl('create', 'priorityclass', 'high', '--value=1000').ok()
  space.create(pod('high', priorityClassName='high')).ok()
  assert cluster.pod('high', 'classes')['spec']['priority'] == 1000
  space.create(pod('none', priorityClassName='none')).fails('no PriorityClass with name none was found')
  cluster.create({'apiVersion': 'storage.k8s.io/v1', 'kind': 'StorageClass', 'provisioner': 'x', 'metadata': {
    'name': 'std', 'annotations': {'storageclass.kubernetes.io/is-default-class': 'true'}}}).ok()
  space.create({'apiVersion': 'v1', 'kind': 'PersistentVolumeClaim', 'metadata': {'name': 'c'}, 'spec': {
    'accessModes': ['ReadWriteOnce'], 'resources': {'requests': {'storage': '1Gi'}}}}).ok()
  assert cluster.json(*space.n, 'get', 'pvc', 'c')['spec']['storageClassName'] == 'std'
