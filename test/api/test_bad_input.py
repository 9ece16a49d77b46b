"""What is wrong gets the Status that Kubernetes gives, and nothing is half-written."""
import json
import os
import ssl
import subprocess
import urllib.error
import urllib.request

from harness.cluster import Failed

CLUSTER = {'node': False}

POD = {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': 'p'}, 'spec': {'containers': [{'name': 'c', 'image': 'i'}]}}


def raw(cluster, method, path, body=None, content_type='application/json', credentials=True, token=None):
  """A request without kubectl. Returns (HTTP code, parsed body)."""
  context = ssl.create_default_context()
  context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
  if credentials:
    certificate = os.path.join(cluster.directory, 'admin.pem')
    if not os.path.exists(certificate):
      config = json.loads(cluster.kubectl('config', 'view', '--raw', '-o', 'json').ok())
      import base64
      user = config['users'][0]['user']
      with open(certificate, 'wb') as file:
        file.write(base64.b64decode(user['client-certificate-data']) + base64.b64decode(user['client-key-data']))
    context.load_cert_chain(certificate)
  request = urllib.request.Request(f'https://127.0.0.1:{cluster.port}{path}', method=method,
                                   data=body.encode() if isinstance(body, str) else body, headers={'Content-Type': content_type})
  if token:
    request.add_header('Authorization', f'Bearer {token}')
  try:
    with urllib.request.urlopen(request, context=context, timeout=30) as response:
      return response.status, json.loads(response.read())
  except urllib.error.HTTPError as error:
    text = error.read()
    return error.code, json.loads(text) if text else {}


PODS = '/api/v1/namespaces/default/pods'


def refused(answer, code, reason, *texts):
  got, status = answer
  assert got == code and status['kind'] == 'Status' and status['reason'] == reason and status['code'] == code, answer
  for text in texts:
    assert text in status['message'], status
  return status


def test_malformed_json(cluster):
  refused(raw(cluster, 'POST', PODS, '{"kind": "Pod",'), 400, 'BadRequest')
  refused(raw(cluster, 'POST', PODS, 'not json'), 400, 'BadRequest')
  refused(raw(cluster, 'POST', PODS, ''), 400, 'BadRequest')


def test_malformed_yaml(cluster):
  refused(raw(cluster, 'POST', PODS, 'kind: Pod\n\tname: x\n', 'application/yaml'), 400, 'BadRequest')


def test_wrong_type(cluster):
  body = json.loads(json.dumps(POD))
  body['spec']['containers'][0]['ports'] = [{'containerPort': 'eighty'}]
  refused(raw(cluster, 'POST', PODS, json.dumps(body)), 400, 'BadRequest', 'cannot unmarshal string into Go struct field', 'of type int32')


def test_unknown_field_is_strict_for_kubectl(cluster):
  body = json.loads(json.dumps(POD))
  body['spec']['kontainers'] = []
  cluster.create(body).fails('unknown field', 'kontainers')  # the server's words, or those of an old kubectl that asks OpenAPI
  refused(raw(cluster, 'POST', PODS + '?fieldValidation=Strict', json.dumps(body)), 400, 'BadRequest',
          'strict decoding error: unknown field "spec.kontainers"')
  cluster.kubectl('get', 'pod', 'p').fails('not found')


def test_duplicate_field(cluster):
  text = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"d","name":"e"}}'
  refused(raw(cluster, 'POST', '/api/v1/namespaces/default/configmaps?fieldValidation=Strict', text), 400, 'BadRequest',
          'strict decoding error', 'duplicate field "metadata.name"')


def test_missing_required(cluster):
  body = json.loads(json.dumps(POD))
  del body['spec']['containers'][0]['image']
  status = refused(raw(cluster, 'POST', PODS, json.dumps(body)), 422, 'Invalid', 'spec.containers[0].image: Required value')
  assert status['details']['causes'][0]['field'] == 'spec.containers[0].image'
  body['spec'] = {}
  refused(raw(cluster, 'POST', PODS, json.dumps(body)), 422, 'Invalid', 'spec.containers: Required value')


def test_bad_name(cluster):
  body = json.loads(json.dumps(POD))
  body['metadata']['name'] = 'Not_A_Name'
  refused(raw(cluster, 'POST', PODS, json.dumps(body)), 422, 'Invalid', 'metadata.name: Invalid value: "Not_A_Name": a lowercase RFC 1123 subdomain')


def test_duplicate_name(cluster):
  body = json.dumps({'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': {'name': 'twice'}})
  assert raw(cluster, 'POST', '/api/v1/namespaces/default/configmaps', body)[0] == 201
  status = refused(raw(cluster, 'POST', '/api/v1/namespaces/default/configmaps', body), 409, 'AlreadyExists',
                   'configmaps "twice" already exists')
  assert status['details'] == {'name': 'twice', 'kind': 'configmaps'}


def test_stale_version(cluster):
  path = '/api/v1/namespaces/default/configmaps/twice'
  _, object_ = raw(cluster, 'GET', path)
  object_['data'] = {'a': '1'}
  assert raw(cluster, 'PUT', path, json.dumps(object_))[0] == 200
  object_['data'] = {'a': '2'}
  refused(raw(cluster, 'PUT', path, json.dumps(object_)), 409, 'Conflict', 'Operation cannot be fulfilled on configmaps "twice": '
          'the object has been modified; please apply your changes to the latest version and try again')
  assert raw(cluster, 'GET', path)[1]['data'] == {'a': '1'}


def test_unknown_kind(cluster):
  refused(raw(cluster, 'GET', '/api/v1/namespaces/default/things'), 404, 'NotFound', 'could not find the requested resource')
  cluster.create({'apiVersion': 'no.such/v1', 'kind': 'Thing', 'metadata': {'name': 'x'}}).fails('no matches for kind "Thing" in version "no.such/v1"')


def test_oversize_body(cluster):
  code, _ = raw(cluster, 'POST', '/api/v1/namespaces/default/configmaps', b' ' * (4 << 20))
  assert code == 413


def test_no_credentials(cluster):
  refused(raw(cluster, 'GET', PODS, credentials=False), 403, 'Forbidden', 'pods is forbidden: User "system:anonymous" cannot list resource "pods" '
          'in API group "" in the namespace "default"')


def test_wrong_token(cluster):
  refused(raw(cluster, 'GET', PODS, credentials=False, token='abc.def.ghi'), 401, 'Unauthorized')


def test_token_of_a_service_account(cluster):
  code, answer = raw(cluster, 'POST', '/api/v1/namespaces/default/serviceaccounts/default/token',
                     '{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{"expirationSeconds":600}}')
  assert code == 201, answer
  token = answer['status']['token']
  refused(raw(cluster, 'GET', PODS, credentials=False, token=token), 403, 'Forbidden',
          'pods is forbidden: User "system:serviceaccount:default:default" cannot list resource "pods"')
  refused(raw(cluster, 'GET', PODS, credentials=False, token=token[:-4] + 'AAAA'), 401, 'Unauthorized')


def test_unsupported_media_type(cluster):
  refused(raw(cluster, 'POST', PODS, '<pod/>', 'text/xml'), 415, 'UnsupportedMediaType')


def test_wrong_method(cluster):
  refused(raw(cluster, 'DELETE', '/api/v1/namespaces/default/bindings'), 405, 'MethodNotAllowed')


# What the study note itself has wrong ----------------------------------------------------------------

def test_seed_tabs(cluster):
  cluster.create('apiVersion: v1\nkind: Pod\nmetadata:\n\tname: website\n').fails('found character that cannot start any token')


def test_seed_opi_version(cluster):
  cluster.create('kind: Service\nopiVersion: v1\nmetadata:\n  name: my-service\nspec:\n  ports:\n  - port: 80\n').fails('apiVersion not set')
  status = refused(raw(cluster, 'POST', '/api/v1/namespaces/default/services?fieldValidation=Strict',
                       '{"kind":"Service","opiVersion":"v1","metadata":{"name":"my-service"},"spec":{"ports":[{"port":80}]}}'), 400, 'BadRequest')
  assert 'opiVersion' in status['message'] or 'apiVersion' in status['message'], status


def test_seed_old_group(cluster):
  for version in ('extensions/v1beat1', 'extensions/v1beta1'):
    cluster.create(f'apiVersion: {version}\nkind: Replication\nmetadata:\n  name: frontend\n').fails(
        f'no matches for kind "Replication" in version "{version}"')


def test_seed_misplaced_value(cluster):
  cluster.create('apiVersion: settings.k8s.io/v1alpha1\nkind: PodPreset\nmetadata:\n  name: allow-database\nspec:\n  env:\n  - name: DB_PORT\n'
                 '  value: "6379"\n').fails('unknown field', 'value')


def test_seed_misplaced_ports(cluster):
  cluster.create('apiVersion: v1\nkind: Service\nmetadata:\n  name: mysql-read\nspec:\nports:\n- name: mysql\n  port: 3306\n').fails(
      'unknown field', 'ports')


def test_seed_misplaced_selector(cluster):
  cluster.create('apiVersion: v1\nkind: Service\nmetadata:\n  name: mysql\nspec:\n  ports:\n  - port: 3306\n  clusterIP: None\n  selector:\n'
                 '  app: mysql\n').fails('unknown field', 'app')


def test_seed_container_without_image(cluster):
  cluster.create({'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': 'noimage'}, 'spec': {'containers': [{'name': 'xtrabackup'}]}}).fails(
      'spec.containers[0].image: Required value')
