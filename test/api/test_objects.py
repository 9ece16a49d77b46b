"""Objects under kubectl: create, apply, patch, label, edit, delete, watch, wait."""
import json
import os
import subprocess
import time

from harness.cluster import Failed, wait_for

CLUSTER = {'node': False}


def config_map(name, **data):
  return {'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': {'name': name}, 'data': data}


def test_what_every_cluster_has(cluster):
  names = cluster.kubectl('get', 'ns', '-o', 'name').ok().split()
  for namespace in ('default', 'kube-system', 'kube-public', 'kube-node-lease'):
    assert f'namespace/{namespace}' in names
    wait_for(lambda: cluster.kubectl('-n', namespace, 'get', 'sa/default', 'cm/kube-root-ca.crt').code == 0, 10, namespace)
  ca = cluster.json('get', 'cm', 'kube-root-ca.crt')['data']['ca.crt']
  assert ca.startswith('-----BEGIN CERTIFICATE-----')


def test_what_is_deleted_comes_back(cluster):
  uid = cluster.json('get', 'sa', 'default')['metadata']['uid']
  cluster.kubectl('delete', 'sa', 'default').ok()
  wait_for(lambda: cluster.json('get', 'sa', 'default')['metadata']['uid'] != uid, 10, 'a new default service account')


def test_kubeconfig_is_private(cluster):
  assert os.stat(cluster.kubeconfig).st_mode & 0o777 == 0o600


def test_apply(cluster):
  assert 'created' in cluster.create(config_map('a', x='1', y='2'), 'apply').ok()
  assert 'unchanged' in cluster.create(config_map('a', x='1', y='2'), 'apply').ok()
  assert 'configured' in cluster.create(config_map('a', x='3'), 'apply').ok()
  assert cluster.json('get', 'cm', 'a')['data'] == {'x': '3'}


def test_server_side_apply(cluster):
  text = json.dumps(config_map('ssa', x='1'))
  cluster.kubectl('apply', '--server-side', '-f', '-', stdin=text).ok()
  result = cluster.kubectl('apply', '--server-side', '--field-manager=other', '-f', '-', stdin=json.dumps(config_map('ssa', x='2')))
  result.fails('conflict', '.data.x')
  cluster.kubectl('apply', '--server-side', '--field-manager=other', '--force-conflicts', '-f', '-', stdin=json.dumps(config_map('ssa', x='2'))).ok()
  assert cluster.json('get', 'cm', 'ssa')['data'] == {'x': '2'}


def test_patches(cluster):
  cluster.create(config_map('p', a='1', b='2')).ok()
  cluster.kubectl('patch', 'cm', 'p', '-p', '{"data":{"a":"3"}}').ok()
  cluster.kubectl('patch', 'cm', 'p', '--type=merge', '-p', '{"data":{"b":null}}').ok()
  cluster.kubectl('patch', 'cm', 'p', '--type=json', '-p', '[{"op":"add","path":"/data/c","value":"4"}]').ok()
  assert cluster.json('get', 'cm', 'p')['data'] == {'a': '3', 'c': '4'}
  cluster.kubectl('patch', 'cm', 'p', '--type=json', '-p', '[{"op":"test","path":"/data/c","value":"5"}]').fails()


def test_label_annotate(cluster):
  cluster.kubectl('label', 'cm', 'p', 'tier=back').ok()
  assert 'p' in cluster.kubectl('get', 'cm', '-l', 'tier=back', '-o', 'name').ok()
  cluster.kubectl('label', 'cm', 'p', 'tier=front').fails('--overwrite')
  cluster.kubectl('label', 'cm', 'p', 'tier-').ok()
  cluster.kubectl('annotate', 'cm', 'p', 'note=hello').ok()
  assert cluster.json('get', 'cm', 'p')['metadata']['annotations']['note'] == 'hello'
  cluster.kubectl('label', 'cm', 'p', 'tier=not a label').fails()


def test_edit(cluster):
  environment = dict(os.environ, EDITOR="sed -i 's/a: \"3\"/a: edited/'", KUBE_EDITOR="sed -i 's/a: \"3\"/a: edited/'")
  subprocess.run(cluster.command('edit', 'cm', 'p'), env=environment, check=True, capture_output=True, timeout=30)
  assert cluster.json('get', 'cm', 'p')['data']['a'] == 'edited'


def test_replace_and_diff(cluster):
  cluster.create(config_map('p', new='1'), 'replace').ok()
  assert cluster.json('get', 'cm', 'p')['data'] == {'new': '1'}
  result = cluster.kubectl('diff', '-f', '-', stdin=json.dumps(config_map('p', new='2')))
  assert result.code == 1 and '+  new: "2"' in result.out, vars(result)


def test_dry_run(cluster):
  cluster.kubectl('create', 'cm', 'ghost', '--from-literal=a=b', '--dry-run=server').ok()
  cluster.kubectl('get', 'cm', 'ghost').fails('not found')


def test_create_commands(cluster):
  """Typed clients of newer kubectl send Protobuf."""
  cluster.kubectl('create', 'namespace', 'made').ok()
  cluster.kubectl('create', 'configmap', 'c', '--from-literal=a=b', '-n', 'made').ok()
  cluster.kubectl('create', 'secret', 'generic', 's', '--from-literal=a=b', '-n', 'made').ok()
  cluster.kubectl('create', 'serviceaccount', 'robot', '-n', 'made').ok()
  cluster.kubectl('create', 'role', 'reader', '--verb=get,list', '--resource=pods', '-n', 'made').ok()
  cluster.kubectl('create', 'rolebinding', 'robot-reads', '--role=reader', '--serviceaccount=made:robot', '-n', 'made').ok()
  assert cluster.json('get', 'secret', 's', '-n', 'made')['data'] == {'a': 'Yg=='}
  me = ('--as=system:serviceaccount:made:robot', '-n', 'made')
  assert cluster.kubectl('auth', 'can-i', 'list', 'pods', *me).out.strip() == 'yes'
  assert cluster.kubectl('auth', 'can-i', 'delete', 'pods', *me).out.strip() == 'no'
  cluster.kubectl('get', 'pods', *me).ok()
  cluster.kubectl('get', 'secrets', *me).fails('secrets is forbidden: User "system:serviceaccount:made:robot" cannot list resource "secrets" '
                                                'in API group "" in the namespace "made"')


def test_delete_all_and_namespace(cluster):
  cluster.kubectl('delete', 'cm', '--all', '-n', 'made').ok()
  cluster.kubectl('delete', 'namespace', 'made', timeout=60).ok()
  cluster.kubectl('get', 'ns', 'made').fails('not found')
  cluster.create({**config_map('late'), 'metadata': {'name': 'late', 'namespace': 'made'}}).fails('namespaces "made" not found')


def test_watch(cluster):
  process = cluster.popen('get', 'cm', '-w', '--output-watch-events', '--no-headers', stdout=-1, text=True)
  time.sleep(0.7)
  cluster.create(config_map('w')).ok()
  cluster.kubectl('label', 'cm', 'w', 'x=y').ok()
  cluster.kubectl('delete', 'cm', 'w').ok()
  time.sleep(0.5)
  process.terminate()
  lines = [l.split()[0] for l in process.communicate()[0].splitlines() if l.split()[1] == 'w']
  assert lines == ['ADDED', 'MODIFIED', 'DELETED'], lines


def test_finalizer_holds_an_object(cluster):
  body = config_map('held')
  body['metadata']['finalizers'] = ['example.com/hold']
  cluster.create(body).ok()
  cluster.kubectl('delete', 'cm', 'held', '--wait=false').ok()
  assert cluster.json('get', 'cm', 'held')['metadata']['deletionTimestamp']
  cluster.kubectl('patch', 'cm', 'held', '--type=merge', '-p', '{"metadata":{"finalizers":null}}').ok()
  cluster.kubectl('get', 'cm', 'held').fails('not found')


def test_everything_survives_a_kill(cluster):
  """What was acknowledged is there after SIGKILL; versions go on."""
  before = cluster.json('get', 'cm,sa,ns,clusterroles', '-A')
  version = int(cluster.json('get', 'cm', 'a')['metadata']['resourceVersion'])
  cluster.kill()
  cluster.start()
  after = cluster.json('get', 'cm,sa,ns,clusterroles', '-A')
  key = lambda o: (o['kind'], o['metadata'].get('namespace', ''), o['metadata']['name'], o['metadata']['uid'], o['metadata']['resourceVersion'])
  assert sorted(map(key, before['items'])) == sorted(map(key, after['items']))
  cluster.kubectl('label', 'cm', 'a', 'after=kill').ok()
  assert int(cluster.json('get', 'cm', 'a')['metadata']['resourceVersion']) > version
