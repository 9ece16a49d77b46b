"""An admission webhook: a small HTTPS server whose paths say how it answers."""
import base64
import contextlib
import http.server
import json
import os
import ssl
import subprocess
import tempfile
import threading
import time


def _patch(*operations):
  return {'allowed': True, 'patchType': 'JSONPatch', 'patch': base64.b64encode(json.dumps(operations).encode()).decode()}


def _add(stage):
  """Marks a ConfigMap (or what looks like one) in its data, once the stage before it has."""
  def answer(request):
    data = request['object'].get('data') or {}
    if 'mutation-start' not in data and stage == 1:
      return {'allowed': True}
    if stage == 2 and 'mutation-stage-1' not in data:
      return {'allowed': True}
    return _patch({'op': 'add', 'path': f'/data/mutation-stage-{stage}', 'value': 'yes'})
  return answer


def _deny_marked(request):
  """As upstream's e2e webhook: refuses what says that it is to be refused."""
  data = (request.get('object') or request.get('oldObject') or {}).get('data') or {}
  if data.get('webhook-e2e-test') == 'webhook-disallow':
    return {'allowed': False, 'status': {'message': 'the configmap contains unwanted key and value'}}
  return {'allowed': True}


def _deny_label(request):
  labels = (request.get('object') or request.get('oldObject') or {})['metadata'].get('labels') or {}
  if labels.get('forbidden') == 'yes':
    return {'allowed': False, 'status': {'message': 'the object has a forbidden label', 'code': 403, 'reason': 'Forbidden'}}
  return {'allowed': True, 'warnings': ['looked at by a webhook']}


ANSWERS = {
  '/allow': lambda request: {'allowed': True},
  '/deny': lambda request: {'allowed': False, 'status': {'message': 'no'}},
  '/deny-marked': _deny_marked,
  '/deny-label': _deny_label,
  '/add-1': _add(1),
  '/add-2': _add(2),
  '/init-container': lambda request: _patch({'op': 'add', 'path': '/spec/initContainers', 'value': [
    {'image': 'webhook-added-image', 'name': 'webhook-added-init-container', 'resources': {}}]}),
}


class Handler(http.server.BaseHTTPRequestHandler):
  protocol_version = 'HTTP/1.1'

  def do_POST(self):
    review = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
    path = self.path.partition('?')[0]
    self.server.asked.append((path, review['request']))
    if path == '/slow':
      time.sleep(3)
    response = ANSWERS.get(path, ANSWERS['/allow'])(review['request'])
    body = json.dumps({'apiVersion': review['apiVersion'], 'kind': 'AdmissionReview',
                       'response': {'uid': review['request']['uid'], **response}}).encode()
    with contextlib.suppress(OSError):  # nobody waits any more
      self.send_response(200)
      self.send_header('Content-Type', 'application/json')
      self.send_header('Content-Length', str(len(body)))
      self.end_headers()
      self.wfile.write(body)

  def log_message(self, *arguments):
    pass


class Server(http.server.ThreadingHTTPServer):
  daemon_threads = True
  connections = 0

  def handle_error(self, request, client_address):
    pass  # tests look at what the client says

  def get_request(self):
    self.connections += 1
    return super().get_request()


class WebhookServer:
  """`asked` lists (path, request); `ca` is for caBundle."""

  def __init__(self, names=('IP:127.0.0.1', 'DNS:hook.default.svc')):
    self.folder = tempfile.TemporaryDirectory()
    key, certificate = (os.path.join(self.folder.name, f) for f in ('key', 'certificate'))
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
                    '-subj', '/CN=webhook', '-addext', 'subjectAltName=' + ','.join(names), '-keyout', key, '-out', certificate],
                   check=True, capture_output=True)
    self.server = Server(('127.0.0.1', 0), Handler)
    self.server.asked = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
    self.port = self.server.server_address[1]
    with open(certificate, 'rb') as file:
      self.ca = base64.b64encode(file.read()).decode()
    threading.Thread(target=self.server.serve_forever, daemon=True).start()

  @property
  def asked(self):
    return self.server.asked

  def close(self):
    self.server.shutdown()
    self.server.server_close()
    self.folder.cleanup()

  def client(self, path):
    return {'url': f'https://127.0.0.1:{self.port}{path}', 'caBundle': self.ca}


def rule(*resources, operations=('CREATE',), groups=('',), versions=('v1',)):
  return {'operations': list(operations), 'apiGroups': list(groups), 'apiVersions': list(versions), 'resources': list(resources)}


def webhook(name, client, rules, **more):
  return {'name': f'{name}.webhook.example.com', 'clientConfig': client, 'rules': rules, 'sideEffects': 'None',
          'admissionReviewVersions': ['v1'], 'timeoutSeconds': 5, **more}


def configuration(kind, name, *webhooks):
  return {'apiVersion': 'admissionregistration.k8s.io/v1', 'kind': f'{kind}WebhookConfiguration', 'metadata': {'name': name},
          'webhooks': list(webhooks)}
