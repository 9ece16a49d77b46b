"""Custom kinds under kubectl: what a CustomResourceDefinition's user and its objects' users do."""
import copy
import json
import signal
import subprocess

from harness import clients
from harness.cluster import wait_for

CLUSTER = {'node': False}

SPEC = {
    'type': 'object', 'required': ['cronSpec'],
    'description': 'What should run, and when.',
    'properties': {
        'cronSpec': {'type': 'string', 'description': 'When, as cron has it.', 'pattern': r'^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$'},
        'image': {'type': 'string', 'description': 'The image to run.'},
        'replicas': {'type': 'integer', 'minimum': 1, 'maximum': 10, 'default': 1},
        'tags': {'type': 'array', 'items': {'type': 'string'}, 'x-kubernetes-list-type': 'set'},
        'free': {'type': 'object', 'x-kubernetes-preserve-unknown-fields': True},
    },
}


def definition(plural, kind, group='stable.example.com', **changes):
  """A namespaced kind with one version that has status, scale, a column and a selectable field."""
  version = {
      'name': 'v1', 'served': True, 'storage': True,
      'subresources': {'status': {}, 'scale': {'specReplicasPath': '.spec.replicas', 'statusReplicasPath': '.status.replicas',
                                               'labelSelectorPath': '.status.labelSelector'}},
      'selectableFields': [{'jsonPath': '.spec.image'}],
      'additionalPrinterColumns': [
          {'name': 'Spec', 'type': 'string', 'jsonPath': '.spec.cronSpec'},
          {'name': 'Replicas', 'type': 'integer', 'jsonPath': '.spec.replicas', 'priority': 1},
          {'name': 'Age', 'type': 'date', 'jsonPath': '.metadata.creationTimestamp'}],
      'schema': {'openAPIV3Schema': {'type': 'object', 'description': f'A {kind} runs things by the clock.', 'properties': {
          'spec': copy.deepcopy(SPEC),
          'status': {'type': 'object', 'properties': {'replicas': {'type': 'integer'}, 'labelSelector': {'type': 'string'}}}}}},
  }
  names = {'plural': plural, 'kind': kind}
  return {'apiVersion': 'apiextensions.k8s.io/v1', 'kind': 'CustomResourceDefinition', 'metadata': {'name': f'{plural}.{group}'},
          'spec': {'group': group, 'scope': 'Namespaced', 'names': names | changes.pop('names', {}), 'versions': [version | changes]}}


def obj(kind, name, spec, group='stable.example.com', version='v1'):
  return {'apiVersion': f'{group}/{version}', 'kind': kind, 'metadata': {'name': name}, 'spec': spec}


def establish(cluster, crd):
  cluster.create(crd, 'apply').ok()
  cluster.kubectl('wait', '--for=condition=Established', '--timeout=10s', 'crd/' + crd['metadata']['name']).ok()


def test_life_of_a_kind(cluster):
  """The documentation's walk: define, create, get by short name and category, delete the definition."""
  crd = definition('crontabs', 'CronTab', names={'shortNames': ['ct'], 'categories': ['all']})
  assert 'No resources found' in cluster.kubectl('get', 'crd').ok() + cluster.kubectl('get', 'crd').err
  establish(cluster, crd)
  assert 'unchanged' in cluster.create(crd, 'apply').ok()
  assert 'crontabs' in cluster.kubectl('api-resources', '--api-group=stable.example.com').ok()
  cluster.create(obj('CronTab', 'one', {'cronSpec': '* * * * */5', 'image': 'x'})).ok()
  cluster.create(obj('CronTab', 'two', {'cronSpec': '0 * * * *', 'image': 'y', 'replicas': 3})).ok()
  lines = cluster.kubectl('get', 'ct').ok().splitlines()
  assert lines[0].split() == ['NAME', 'SPEC', 'AGE'] and lines[1].startswith('one ') and '* * * * */5' in lines[1], lines
  assert cluster.kubectl('get', 'ct', '-o', 'wide').ok().splitlines()[0].split() == ['NAME', 'SPEC', 'REPLICAS', 'AGE']
  assert 'crontab.stable.example.com/one' in cluster.kubectl('get', 'all', '-o', 'name').ok()
  assert cluster.kubectl('get', 'ct', '--field-selector=spec.image=y', '-o', 'name').ok().split() == ['crontab.stable.example.com/two']
  watch = cluster.popen('get', 'crontabs', '-w', '--field-selector=spec.image=y', '-o', 'name', stdout=subprocess.PIPE, text=True)
  assert watch.stdout.readline().strip() == 'crontab.stable.example.com/two'
  cluster.kubectl('delete', 'crd', 'crontabs.stable.example.com', '--timeout=20s').ok()
  watch.send_signal(signal.SIGINT)
  watch.wait(10)
  cluster.kubectl('get', 'ct').fails('NotFound')  # kubectl still knows the name
  establish(cluster, crd)
  assert cluster.json('get', 'ct')['items'] == []


def test_objects(cluster):
  needs_kubectl(24)  # noqa: F821: given by test/run
  establish(cluster, definition('jobs2', 'Job2'))
  make = lambda name, **spec: cluster.create(obj('Job2', name, {'cronSpec': '* * * * *'} | spec), 'apply')
  make('a', free={'deep': {'er': [1, {'x': 2}]}}).ok()
  got = cluster.json('get', 'job2', 'a')
  assert got['spec']['replicas'] == 1 and got['spec']['free'] == {'deep': {'er': [1, {'x': 2}]}}, got
  cluster.kubectl('scale', 'job2/a', '--replicas=4').ok()
  assert cluster.json('get', 'job2', 'a')['spec']['replicas'] == 4
  cluster.kubectl('patch', 'job2', 'a', '--type=merge', '-p', '{"spec":{"image":"z"}}').ok()
  cluster.kubectl('patch', 'job2', 'a', '--type=json', '-p', '[{"op":"add","path":"/spec/tags","value":["t"]}]').ok()
  cluster.kubectl('patch', 'job2', 'a', '--type=merge', '--subresource=status', '-p', '{"status":{"replicas":4},"spec":{"image":"no"}}').ok()
  got = cluster.json('get', 'job2', 'a')
  assert got['spec']['image'] == 'z' and got['status'] == {'replicas': 4} and got['metadata']['generation'] == 4, got
  cluster.kubectl('patch', 'job2', 'a', '-p', '{"spec":{"image":"z"}}').fails('accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml')
  cluster.kubectl('label', 'job2', 'a', 'x=y').ok()
  assert cluster.kubectl('get', 'job2', '-l', 'x=y', '-o', 'name').ok().split() == ['job2.stable.example.com/a']
  applied = obj('Job2', 'b', {'cronSpec': '1 * * * *', 'tags': ['p']})
  cluster.kubectl('apply', '--server-side', '-f', '-', stdin=json.dumps(applied)).ok()
  applied['spec'] = {'cronSpec': '1 * * * *', 'tags': ['q']}
  cluster.kubectl('apply', '--server-side', '--field-manager=other', '-f', '-', stdin=json.dumps(applied)).ok()
  assert cluster.json('get', 'job2', 'b')['spec']['tags'] == ['p', 'q']
  applied['spec']['cronSpec'] = '2 * * * *'
  cluster.kubectl('apply', '--server-side', '--field-manager=other', '-f', '-', stdin=json.dumps(applied)).fails('conflict', '.spec.cronSpec')


def test_refused_objects(cluster):
  """kube-openapi's pkg/validation/errors/schema.go words these."""
  needs_kubectl(27)  # noqa: F821: given by test/run
  establish(cluster, definition('bads', 'Bad'))
  refuse = lambda spec, *texts: cluster.create(obj('Bad', 'x', spec)).fails(*texts)
  refuse({}, 'spec.cronSpec: Required value')
  refuse({'cronSpec': 5}, 'spec.cronSpec: Invalid value: "integer": spec.cronSpec in body must be of type string: "integer"')
  refuse({'cronSpec': '* * * *'}, 'spec.cronSpec in body should match')
  refuse({'cronSpec': '* * * * *', 'replicas': 11}, 'spec.replicas: Invalid value: 11: spec.replicas in body should be less than or equal to 10')
  refuse({'cronSpec': '* * * * *', 'tags': ['a', 'a']}, 'spec.tags[1]: Duplicate value: "a"')
  refuse({'cronSpec': '* * * * *', 'nope': 1}, 'strict decoding error: unknown field "spec.nope"')
  result = cluster.kubectl('create', '--validate=warn', '-f', '-', stdin=json.dumps(obj('Bad', 'y', {'cronSpec': '* * * * *', 'nope': 1})))
  result.ok()
  assert 'unknown field "spec.nope"' in result.err
  assert 'nope' not in cluster.json('get', 'bad', 'y')['spec']


def test_refused_definitions(cluster):
  """apiextensions-apiserver's pkg/apis/apiextensions/validation and pkg/apiserver/schema word these."""
  crd = definition('wrongs', 'Wrong')
  def refuse(change, *texts):
    bad = copy.deepcopy(crd)
    change(bad, bad['spec']['versions'][0], bad['spec']['versions'][0]['schema']['openAPIV3Schema']['properties']['spec'])
    cluster.create(bad).fails(*texts)
  refuse(lambda c, v, s: c['metadata'].update(name='other.example.com'), 'must be spec.names.plural+"."+spec.group')
  refuse(lambda c, v, s: v.update(storage=False), 'must have exactly one version marked as storage version')
  refuse(lambda c, v, s: s['properties']['image'].pop('type'), 'must not be empty for specified object fields')
  refuse(lambda c, v, s: s['properties']['replicas'].update(default='x'), 'must be of type integer: "string"')
  refuse(lambda c, v, s: s['properties']['image'].update(pattern='(a'), "must be a valid regular expression, but isn't")
  refuse(lambda c, v, s: v['selectableFields'].append({'jsonPath': '.spec.none'}), 'is an invalid path: does not refer to a valid field')
  refuse(lambda c, v, s: c['spec'].update(conversion={'strategy': 'Webhook', 'webhook': {
      'clientConfig': {'url': 'https://x.example.com'}, 'conversionReviewVersions': ['v1']}}), 'conversion webhooks are not supported')
  warned = copy.deepcopy(crd)
  warned['spec']['versions'][0]['schema']['openAPIV3Schema']['properties']['spec']['x-kubernetes-validations'] = [{'rule': 'self.replicas < 5'}]
  assert 'does not enforce' in cluster.kubectl('create', '--dry-run=server', '-f', '-', stdin=json.dumps(warned)).err


def test_explain_by_the_oldest_and_the_newest_kubectl(cluster):
  """OpenAPI version 2 as Protobuf, version 2, version 3."""
  establish(cluster, definition('clocks', 'Clock'))
  every = list(clients.kubectls().items())
  for version, path in {every[0], every[-1]}:
    text = cluster.kubectl('explain', 'clocks.spec', kubectl=path).ok()
    assert 'What should run, and when.' in text and 'cronSpec' in text, (version, text)
    text = cluster.kubectl('explain', 'clocks.spec.image', kubectl=path).ok()
    assert 'The image to run.' in text, (version, text)
    good = json.dumps(obj('Clock', f'k{version}', {'cronSpec': '* * * * *'}))
    cluster.kubectl('apply', '-f', '-', stdin=good, kubectl=path).ok()
    bad = json.dumps(obj('Clock', f'k{version}', {'cronSpec': '* * * * *', 'nope': 1}))
    cluster.kubectl('apply', '-f', '-', stdin=bad, kubectl=path).fails('nope')


def test_versions(cluster):
  """Conversion None: only the apiVersion differs, and each version's schema prunes for itself."""
  crd = definition('multis', 'Multi')
  second = copy.deepcopy(crd['spec']['versions'][0])
  second.update(name='v1beta1', storage=False, deprecated=True)
  second['schema']['openAPIV3Schema']['properties']['spec']['properties'].pop('image')
  second.pop('selectableFields')
  crd['spec']['versions'].append(second)
  establish(cluster, crd)
  cluster.create(obj('Multi', 'm', {'cronSpec': '* * * * *', 'image': 'x'})).ok()
  result = cluster.kubectl('get', 'multis.v1beta1.stable.example.com', 'm', '-o', 'json')
  got = json.loads(result.ok())
  assert got['apiVersion'] == 'stable.example.com/v1beta1' and 'image' not in got['spec'], got
  assert 'stable.example.com/v1beta1 Multi is deprecated' in result.err
  crd['spec']['versions'][0]['storage'], crd['spec']['versions'][1]['storage'] = False, True
  cluster.create(crd, 'apply').ok()
  assert cluster.json('get', 'crd', crd['metadata']['name'])['status']['storedVersions'] == ['v1', 'v1beta1']
  wait_for(lambda: 'image' not in cluster.json('get', 'multi', 'm')['spec'], 10, 'the other storage version')


def test_namespace_takes_objects_along(cluster):
  establish(cluster, definition('locals', 'Local'))
  cluster.kubectl('create', 'ns', 'gone').ok()
  cluster.kubectl('-n', 'gone', 'apply', '-f', '-', stdin=json.dumps(obj('Local', 'l', {'cronSpec': '* * * * *'}))).ok()
  cluster.kubectl('delete', 'ns', 'gone', '--timeout=20s').ok()
  cluster.kubectl('create', 'ns', 'gone').ok()
  assert cluster.json('-n', 'gone', 'get', 'locals')['items'] == []


def test_restart(cluster):
  establish(cluster, definition('lasts', 'Last'))
  cluster.create(obj('Last', 'l', {'cronSpec': '* * * * *', 'image': 'x'})).ok()
  cluster.kill()
  cluster.start()
  assert cluster.json('get', 'last', 'l')['spec']['replicas'] == 1
  assert cluster.kubectl('get', 'last', '--field-selector=spec.image=x', '-o', 'name').ok().split() == ['last.stable.example.com/l']
  assert 'Last runs things' in cluster.kubectl('explain', 'last').ok()
