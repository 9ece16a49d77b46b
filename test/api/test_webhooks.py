"""Admission webhooks over real TLS, under kubectl: apimachinery/webhook.go of the conformance tests, but for CEL."""
import contextlib
import json
import time

from harness.webhook import WebhookServer, configuration, rule, webhook

CLUSTER = {'node': False}
SPLIT = False  # all of it is the API server's
MINE = {'namespaceSelector': {'matchLabels': {'kubernetes.io/metadata.name': 'default'}}}


def config_map(name, **data):
  return {'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': {'name': name}, 'data': data}


def pod(name):
  return {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': name}, 'spec': {'containers': [{'name': 'c', 'image': 'i'}]}}


@contextlib.contextmanager
def server():
  it = WebhookServer()
  try:
    yield it
  finally:
    it.close()


@contextlib.contextmanager
def configured(cluster, *configurations):
  for it in configurations:
    cluster.create(it).ok()
  try:
    yield
  finally:
    for it in configurations:
      cluster.kubectl('delete', it['kind'], it['metadata']['name'], '--ignore-not-found').ok()


def test_discovery(cluster):
  group = json.loads(cluster.kubectl('get', '--raw', '/apis/admissionregistration.k8s.io').ok())
  assert group['preferredVersion']['version'] == 'v1'
  listed = json.loads(cluster.kubectl('get', '--raw', '/apis/admissionregistration.k8s.io/v1').ok())
  names = {r['name'] for r in listed['resources']}
  assert {'mutatingwebhookconfigurations', 'validatingwebhookconfigurations'} <= names, names
  assert 'failurePolicy' in cluster.kubectl('explain', 'validatingwebhookconfiguration.webhooks').ok()


def test_deny_config_maps_and_pods(cluster):
  with server() as s, configured(cluster, configuration(
      'Validating', 'deny', webhook('maps', s.client('/deny-marked'), [rule('configmaps', operations=['CREATE', 'UPDATE', 'DELETE'])], **MINE),
      webhook('pods', s.client('/deny'), [rule('pods', 'pods/exec', 'pods/attach', operations=['CREATE', 'CONNECT'])], **MINE))):
    text = 'admission webhook "maps.webhook.example.com" denied the request: the configmap contains unwanted key and value'
    cluster.create(config_map('bad', **{'webhook-e2e-test': 'webhook-disallow'})).fails(text)
    cluster.create(config_map('good', a='b')).ok()
    cluster.kubectl('patch', 'cm', 'good', '--type=merge', '-p', '{"data":{"webhook-e2e-test":"webhook-disallow"}}').fails(text)
    bad = config_map('good', **{'webhook-e2e-test': 'webhook-disallow'})
    cluster.create(bad, 'replace').fails(text)
    cluster.create(bad, 'apply').fails(text)
    cluster.create(pod('p')).fails('admission webhook "pods.webhook.example.com" denied the request: no')
    cluster.kubectl('create', 'ns', 'elsewhere').ok()
    cluster.kubectl('-n', 'elsewhere', 'create', 'cm', 'bad', '--from-literal=webhook-e2e-test=webhook-disallow').ok()
    assert all(request['namespace'] == 'default' for _, request in s.asked), s.asked
    cluster.kubectl('delete', 'cm', 'good').ok()
    assert s.server.connections <= 2, s.server.connections  # one each, and kept


def test_deny_exec(cluster):
  cluster.create(pod('shell')).ok()
  with server() as s, configured(cluster, configuration(
      'Validating', 'exec', webhook('exec', s.client('/deny'), [rule('pods/exec', 'pods/attach', operations=['CONNECT'])], **MINE))):
    cluster.kubectl('exec', 'shell', '--', 'true').fails('denied the request: no')
    path, request = s.asked[0]
    assert request['object'] == {'kind': 'PodExecOptions', 'apiVersion': 'v1', 'command': ['true'], 'container': 'c', 'stdout': True,
                                 'stderr': True}, request
  cluster.kubectl('delete', 'pod', 'shell', '--force').ok()


def test_status_and_warnings(cluster):
  with server() as s, configured(cluster, configuration(
      'Validating', 'label', webhook('label', s.client('/deny-label'), [rule('configmaps')], **MINE))):
    bad = config_map('bad')
    bad['metadata']['labels'] = {'forbidden': 'yes'}
    cluster.create(bad).fails('Error from server (Forbidden)', 'denied the request: the object has a forbidden label')
    made = cluster.create(config_map('warned'))
    made.ok()
    assert 'Warning: looked at by a webhook' in made.err, made.err
    cluster.kubectl('create', 'cm', 'dry', '--dry-run=server').ok()
    assert [r['dryRun'] for _, r in s.asked] == [False, False, True]
  cluster.kubectl('delete', 'cm', 'warned').ok()


def test_fail_closed_and_open(cluster):
  """A server that is not there, one with another certificate, one that does not answer in time."""
  nobody = {'url': 'https://127.0.0.1:1/x'}
  with configured(cluster, configuration('Validating', 'closed', webhook('closed', nobody, [rule('configmaps')], **MINE))):
    cluster.create(config_map('x')).fails('failed calling webhook "closed.webhook.example.com": failed to call webhook: Post '
                                          '"https://127.0.0.1:1/x?timeout=5s": dial tcp 127.0.0.1:1: connect: connection refused',
                                          'Error from server (InternalError): error when creating')
  with configured(cluster, configuration('Mutating', 'open', webhook('open', nobody, [rule('configmaps')], failurePolicy='Ignore', **MINE))):
    cluster.create(config_map('x')).ok()
  with server() as s, server() as other:
    strange = {**s.client('/allow'), 'caBundle': other.ca}
    with configured(cluster, configuration('Validating', 'strange', webhook('strange', strange, [rule('configmaps')], **MINE))):
      cluster.create(config_map('y')).fails('failed calling webhook "strange.webhook.example.com"', 'failed to verify certificate')
      assert not s.asked


def test_timeout(cluster):
  with server() as s:
    slow = webhook('slow', s.client('/slow'), [rule('configmaps')], **{**MINE, 'timeoutSeconds': 1})
    with configured(cluster, configuration('Validating', 'slow', slow)):
      began = time.monotonic()
      cluster.create(config_map('late')).fails('failed calling webhook "slow.webhook.example.com"', 'context deadline exceeded')
      assert time.monotonic() - began < 3
    with configured(cluster, configuration('Validating', 'slow', {**slow, 'failurePolicy': 'Ignore'})):
      cluster.create(config_map('late')).ok()
    with configured(cluster, configuration('Validating', 'slow', {**slow, 'timeoutSeconds': 10})):
      cluster.create(config_map('later')).ok()
  cluster.kubectl('delete', 'cm', 'late', 'later').ok()


def test_mutate_config_map(cluster):
  with server() as s, configured(cluster, configuration(
      'Mutating', 'stages', webhook('one', s.client('/add-1'), [rule('configmaps')], **MINE),
      webhook('two', s.client('/add-2'), [rule('configmaps')], **MINE))):
    cluster.create(config_map('mutated', **{'mutation-start': 'yes'})).ok()
    assert cluster.json('get', 'cm', 'mutated')['data'] == {'mutation-start': 'yes', 'mutation-stage-1': 'yes', 'mutation-stage-2': 'yes'}
  cluster.kubectl('delete', 'cm', 'mutated').ok()


def test_mutate_pod_and_defaults(cluster):
  with server() as s, configured(cluster, configuration(
      'Mutating', 'init', webhook('init', s.client('/init-container'), [rule('pods')], **MINE))):
    cluster.create(pod('with-init')).ok()
    added = cluster.pod('with-init')['spec']['initContainers'][0]
    assert added['name'] == 'webhook-added-init-container'
    assert added['terminationMessagePolicy'] == 'File', added
    assert added['volumeMounts'][0]['mountPath'] == '/var/run/secrets/kubernetes.io/serviceaccount', added  # the second round
  cluster.kubectl('delete', 'pod', 'with-init', '--force').ok()


def test_never_about_webhooks(cluster):
  with server() as s:
    every = rule('*', operations=['*'], groups=['*'], versions=['*'])
    deny = configuration('Validating', 'deny-all', webhook('deny', s.client('/deny'), [{**every, 'apiGroups': ['admissionregistration.k8s.io']}]))
    cluster.create(deny).ok()
    cluster.create(configuration('Mutating', 'dummy', webhook('dummy', s.client('/allow'), []))).ok()
    cluster.kubectl('label', 'mutatingwebhookconfiguration', 'dummy', 'a=b').ok()
    cluster.kubectl('delete', 'mutatingwebhookconfiguration', 'dummy').ok()
    cluster.kubectl('delete', 'validatingwebhookconfiguration', 'deny-all').ok()
    assert not s.asked


def test_change_and_list(cluster):
  """Updated and patched rules count at once; a collection of configurations goes by label."""
  with server() as s:
    for kind in ('Mutating', 'Validating'):
      it = configuration(kind, 'changing', webhook('changing', s.client('/deny-marked' if kind == 'Validating' else '/add-1'),
                                                   [rule('configmaps')], **MINE))
      it['metadata']['labels'] = {'of': 'test'}
      cluster.create(it).ok()
      resource = it['kind']
      assert len(cluster.json('get', resource, '-l', 'of=test')['items']) == 1
      assert cluster.kubectl('get', resource, 'changing', '--no-headers').ok().split()[:2] == ['changing', '1']
      body = config_map(f'c-{kind.lower()}', **{'webhook-e2e-test': 'webhook-disallow', 'mutation-start': 'yes'})

      def works():
        made = cluster.create(body)
        if kind == 'Validating':
          return made.code != 0
        data = cluster.json('get', 'cm', body['metadata']['name'])['data']
        cluster.kubectl('delete', 'cm', body['metadata']['name']).ok()
        return 'mutation-stage-1' in data
      assert works()
      cluster.kubectl('patch', resource, 'changing', '--type=json', '-p',
                      '[{"op":"replace","path":"/webhooks/0/rules/0/operations","value":["UPDATE"]}]').ok()
      assert not works()
      if kind == 'Validating':
        cluster.kubectl('delete', 'cm', body['metadata']['name']).ok()
      current = cluster.json('get', resource, 'changing')
      assert current['metadata']['generation'] == 2
      current['webhooks'][0]['rules'][0]['operations'] = ['CREATE']
      cluster.create(current, 'replace').ok()
      assert works()
      cluster.kubectl('delete', resource, '-l', 'of=test').ok()
      assert not works()


def test_service(cluster):
  """By a service of the cluster: the certificate is for NAME.NAMESPACE.svc."""
  cluster.create({'apiVersion': 'v1', 'kind': 'Service', 'metadata': {'name': 'hook'},
                  'spec': {'type': 'ExternalName', 'externalName': 'localhost'}}).ok()
  with server() as s:
    client = {'service': {'namespace': 'default', 'name': 'hook', 'path': '/deny', 'port': s.port}, 'caBundle': s.ca}
    with configured(cluster, configuration('Validating', 'service', webhook('service', client, [rule('configmaps')], **MINE))):
      cluster.create(config_map('x2')).fails('admission webhook "service.webhook.example.com" denied the request: no')
  other = WebhookServer(names=('DNS:other.default.svc',))
  try:
    client = {'service': {'namespace': 'default', 'name': 'hook', 'path': '/deny', 'port': other.port}, 'caBundle': other.ca}
    with configured(cluster, configuration('Validating', 'service', webhook('service', client, [rule('configmaps')], **MINE))):
      cluster.create(config_map('x2')).fails('failed calling webhook', 'failed to verify certificate')
  finally:
    other.close()


def test_match_conditions_are_refused(cluster):
  it = configuration('Validating', 'cel', webhook('cel', {'url': 'https://h'}, [rule('configmaps')],
                                                  matchConditions=[{'name': 'n', 'expression': 'true'}]))
  cluster.create(it).fails('webhooks[0].matchConditions: Forbidden')


def test_policies_are_kept_with_a_warning(cluster):
  policy = {'apiVersion': 'admissionregistration.k8s.io/v1', 'kind': 'ValidatingAdmissionPolicy', 'metadata': {'name': 'p'},
            'spec': {'matchConstraints': {'resourceRules': [rule('configmaps')]}, 'validations': [{'expression': 'false'}]}}
  made = cluster.create(policy)
  made.ok()
  assert 'Warning: admission policies are stored, but this server does not evaluate them yet' in made.err
  assert cluster.kubectl('get', 'validatingadmissionpolicy', 'p', '--no-headers').ok().split()[:3] == ['p', '1', '<unset>']
  cluster.kubectl('delete', 'validatingadmissionpolicy', 'p').ok()
