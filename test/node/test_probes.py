"""Probes and hooks: every way to ask, every timing field, and what is said of it."""
import http.server
import os
import ssl
import subprocess
import tempfile
import threading
import time

from harness.cluster import condition, container_status, wait_for
from harness.grpc_server import HealthServer

SPLIT = False  # the node alone is asked
CLUSTER = {'images': ('busybox:latest', 'ikubernetes/myapp:v1')}


def pod(name, script='trap "exit 0" TERM; while :; do sleep 0.1; done', host=False, policy='Always', grace=1, image='busybox:latest', **container):
  one = {'name': 'c', 'image': image, 'imagePullPolicy': 'IfNotPresent', **container}
  if image == 'busybox:latest':
    one['command'] = ['/bin/sh', '-c', script]
  return {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': name},
          'spec': {'hostNetwork': host, 'restartPolicy': policy, 'terminationGracePeriodSeconds': grace, 'containers': [one]}}


def messages(cluster, name, reason):
  items = cluster.json('get', 'events', '--field-selector', f'involvedObject.name={name},reason={reason}')['items']
  return [e['message'] for e in items]


def said(cluster, name, reason, text, seconds=15):
  wait_for(lambda: any(text in m for m in messages(cluster, name, reason)), seconds, f'{reason} of {name}: {text}')


class Web(http.server.ThreadingHTTPServer):
  daemon_threads = True

  def __init__(self, certificate=None):
    super().__init__(('127.0.0.1', 0), self.Handler)
    self.port, self.seen, self.status = self.server_address[1], [], 200
    if certificate:
      context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
      context.load_cert_chain(certificate)
      self.socket = context.wrap_socket(self.socket, server_side=True)
    threading.Thread(target=self.serve_forever, daemon=True).start()

  class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
      self.server.seen.append((self.path, dict(self.headers)))
      self.send_response(self.server.status)
      self.end_headers()

    def log_message(self, *words):
      pass


def test_grpc(cluster):
  """The pod is in the host's network, so that the server may be ours."""
  server = HealthServer()
  probe = {'grpc': {'port': server.port, 'service': 'db'}, 'periodSeconds': 1, 'failureThreshold': 1}
  cluster.create(pod('grpc', host=True, readinessProbe=probe)).ok()
  cluster.wait_ready('grpc', 10)
  assert set(server.services) == {'db'}
  server.state = 2
  cluster.wait_pod('grpc', lambda p: condition(p, 'Ready') == 'False', 10)
  said(cluster, 'grpc', 'Unhealthy', 'Readiness probe failed: service unhealthy (responded with "NOT_SERVING")')
  server.code = 12
  said(cluster, 'grpc', 'Unhealthy', 'error: this server does not implement the grpc health protocol (grpc.health.v1.Health): because')
  server.state, server.code = 1, 0
  cluster.wait_ready('grpc', 10)
  server.shutdown()
  server.server_close()
  said(cluster, 'grpc', 'Unhealthy', f'error: failed to connect service at "127.0.0.1:{server.port}"')
  assert container_status(cluster.pod('grpc'))['restartCount'] == 0


def test_http_in_every_form(cluster):
  """host, scheme, headers and a named port reach the server as they are written."""
  with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, 'both.pem')
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj', '/CN=nobody',
                    '-keyout', path, '-out', path + '.crt'], check=True, capture_output=True)
    with open(path, 'a') as file:
      file.write(open(path + '.crt').read())
    secure, plain = Web(path), Web()
  https = {'httpGet': {'scheme': 'HTTPS', 'host': '127.0.0.1', 'port': secure.port, 'path': '/up?x=1',
                       'httpHeaders': [{'name': 'X-Word', 'value': 'a b'}, {'name': 'Host', 'value': 'web.example'}]}, 'periodSeconds': 1}
  named = {'httpGet': {'port': 'web'}, 'periodSeconds': 1, 'failureThreshold': 1}
  cluster.create(pod('https', readinessProbe=https)).ok()
  cluster.create(pod('named', host=True, readinessProbe=named, ports=[{'name': 'web', 'containerPort': plain.port}])).ok()
  cluster.create(pod('tcp', image='ikubernetes/myapp:v1', readinessProbe={'tcpSocket': {'port': 80}, 'periodSeconds': 1})).ok()
  for name in ('https', 'named', 'tcp'):
    cluster.wait_ready(name, 10)
  path, headers = secure.seen[0]
  assert path == '/up?x=1' and headers['X-Word'] == 'a b' and headers['Host'] == 'web.example', headers
  path, headers = plain.seen[0]
  assert path == '/' and headers['User-Agent'].startswith('kube-probe/1.') and headers['Accept'] == '*/*', headers
  plain.status = 503
  cluster.wait_pod('named', lambda p: condition(p, 'Ready') == 'False', 10)
  said(cluster, 'named', 'Unhealthy', 'Readiness probe failed: HTTP probe failed with statuscode: 503')
  cluster.kubectl('exec', 'tcp', '--', 'killall', 'httpd')
  plain.shutdown(), secure.shutdown()


def test_exec_that_hangs_and_startup(cluster):
  """A startup probe holds the others off; one that takes too long has failed."""
  startup = {'exec': {'command': ['sh', '-c', 'test -e /tmp/up']}, 'periodSeconds': 1, 'failureThreshold': 100}
  slow = {'exec': {'command': ['sleep', '10']}, 'periodSeconds': 1, 'timeoutSeconds': 1, 'failureThreshold': 1, 'initialDelaySeconds': 0}
  cluster.create(pod('slow', startupProbe=startup, readinessProbe=slow)).ok()
  running = cluster.wait_pod('slow', lambda p: 'running' in container_status(p)['state'])
  said(cluster, 'slow', 'Unhealthy', 'Startup probe failed: ')
  assert container_status(cluster.pod('slow'))['started'] is False, running
  assert not any('Readiness' in m for m in messages(cluster, 'slow', 'Unhealthy'))
  cluster.kubectl('exec', 'slow', '--', 'touch', '/tmp/up').ok()
  cluster.wait_pod('slow', lambda p: container_status(p)['started'] is True, 5)
  said(cluster, 'slow', 'Unhealthy', 'Readiness probe failed: command "sleep 10" timed out')


def test_grace_of_the_probe(cluster):
  """The pod would wait 600 s for a process that ignores SIGTERM; its liveness probe says 1 s."""
  stubborn = 'trap "" TERM; while :; do sleep 0.1; done'
  probe = {'exec': {'command': ['false']}, 'periodSeconds': 1, 'failureThreshold': 1, 'terminationGracePeriodSeconds': 1}
  cluster.create(pod('stubborn', stubborn, grace=600, livenessProbe=probe)).ok()
  again = cluster.wait_pod('stubborn', lambda p: container_status(p)['restartCount'] >= 1, 20)
  assert container_status(again)['lastState']['terminated']['exitCode'] == 137
  said(cluster, 'stubborn', 'Killing', 'Container c failed liveness probe, will be restarted')
  cluster.kubectl('delete', 'pod', 'stubborn', '--grace-period=0', '--force').ok()


def test_hooks(cluster):
  """postStart and preStop by exec and HTTP; a hook that fails is told of, and one of postStart costs the container."""
  web = Web()
  get = {'httpGet': {'host': '127.0.0.1', 'port': web.port, 'path': '/started'}}
  stop = {'exec': {'command': ['sh', '-c', 'wget -qO- http://127.0.0.1:%d/stopping; exit 1' % web.port]}}
  cluster.create(pod('hooks', host=True, lifecycle={'postStart': get, 'preStop': stop})).ok()
  cluster.create(pod('sleepy', grace=30, lifecycle={'preStop': {'sleep': {'seconds': 2}}})).ok()
  cluster.create(pod('unlucky', lifecycle={'postStart': {'exec': {'command': ['sh', '-c', 'echo no luck; exit 4']}}})).ok()
  cluster.wait_ready('hooks')
  cluster.wait_ready('sleepy')
  assert [path for path, _ in web.seen] == ['/started'] and web.seen[0][1]['User-Agent'].startswith('kube-lifecycle/1.')
  began = time.monotonic()
  cluster.kubectl('delete', 'pod', 'hooks', 'sleepy').ok()
  assert time.monotonic() - began > 2
  assert '/stopping' in [path for path, _ in web.seen]
  said(cluster, 'hooks', 'FailedPreStopHook', 'PreStopHook failed')
  said(cluster, 'unlucky', 'FailedPostStartHook', 'PostStartHook failed')
  said(cluster, 'unlucky', 'Killing', 'FailedPostStartHook')
  cluster.wait_pod('unlucky', lambda p: container_status(p)['restartCount'] >= 1, 10)
  web.shutdown()
