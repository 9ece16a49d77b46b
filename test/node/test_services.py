"""Services of every kind, reached from pods, from the host and from pods in the host's network."""
import base64
import collections
import json
import os
import socket
import subprocess
import time

from harness import inventory
from harness.cluster import ROOT, Cluster, wait_for



def host_address():
  with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.connect(('192.0.2.1', 9))
    return s.getsockname()[0]


CLUSTER = {'images': ('busybox:latest', 'tools:latest'), 'bind': '0.0.0.0', 'arguments': ('--node-ip', host_address())}
SERVE = 'mkdir /w; hostname > /w/index.html; exec httpd -f -p 80 -h /w'


def container(image, *command, **more):
  return {'name': 'c', 'image': image, 'imagePullPolicy': 'IfNotPresent', 'command': list(command), **more}


def pod(name, spec, labels=None):
  return {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': name, 'labels': labels or {}},
          'spec': {'terminationGracePeriodSeconds': 1, **spec}}


def web(name, app='web', **more):
  return pod(name, {'containers': [container('tools:latest', 'sh', '-c', SERVE, ports=[{'name': 'http', 'containerPort': 80}], **more)]}, {'app': app})


def service(name, **spec):
  return {'apiVersion': 'v1', 'kind': 'Service', 'metadata': {'name': name},
          'spec': {'selector': {'app': 'web'}, 'ports': [{'port': 80, 'targetPort': 'http'}], **spec}}


def need(cluster):
  """The pods that all tests use, once."""
  if getattr(cluster, 'has_pods', False):
    return
  sleep = container('tools:latest', 'sleep', '100000')
  items = [web('web-1'), web('web-2'), pod('client', {'containers': [sleep]}), pod('host', {'hostNetwork': True, 'containers': [sleep]})]
  cluster.create({'apiVersion': 'v1', 'kind': 'List', 'items': items}).ok()
  for name in ('web-1', 'web-2', 'client', 'host'):
    cluster.wait_ready(name)
  cluster.has_pods = True


def get(cluster, url, source='client', arguments=()):
  """What curl says: in a pod, or here when `source` is empty."""
  words = ['curl', '-sS', '-m', '3', *arguments, url]
  if source:
    return cluster.kubectl('exec', source, '--', *words)
  done = subprocess.run(words, capture_output=True, text=True, check=False)
  return type('R', (), {'code': done.returncode, 'out': done.stdout, 'err': done.stderr})


def answers(cluster, url, n=12, source='client'):
  """Who answers how often: n calls over connections of their own."""
  words = ['curl', '-sS', '-m', '3', '-H', 'Connection: close', *[url] * n]
  text = cluster.kubectl('exec', source, '--', *words).ok() if source else subprocess.run(words, capture_output=True, text=True, check=True).stdout
  return collections.Counter(text.split())


def ip_of(cluster, name):
  return cluster.json('get', 'service', name)['spec']['clusterIP']


def make(cluster, *services):
  for item in services:
    cluster.create(item).ok()


def ends(cluster, name):
  return [a['ip'] for s in cluster.json('get', 'endpoints', name).get('subsets', []) for a in s.get('addresses', [])]


def wait_served(cluster, url, who, source='client'):
  return wait_for(lambda: set(answers(cluster, url, source=source)) == set(who), 10, f'{url} answered by {who}')


def test_cluster_ip(cluster):
  """From a pod, the host and a pod in its network; by all endpoints; from an endpoint to itself."""
  need(cluster)
  make(cluster, service('web'))
  url = f'http://{ip_of(cluster, "web")}/'
  for source in ('client', 'host', ''):
    wait_served(cluster, url, {'web-1', 'web-2'}, source)
  wait_served(cluster, url, {'web-1', 'web-2'}, 'web-1')
  refused = get(cluster, url[:-1] + ':81/')
  assert refused.code == 7, (refused.code, refused.err)  # no such port: refused at once


def test_no_endpoints(cluster):
  """A connection is refused at once, from everywhere, and works as soon as there is an endpoint."""
  need(cluster)
  make(cluster, service('nobody', selector={'app': 'late'}, type='NodePort', ports=[{'port': 80}], externalIPs=['198.51.100.9']))
  spec = cluster.json('get', 'service', 'nobody')['spec']
  urls = [f'http://{spec["clusterIP"]}/', f'http://{host_address()}:{spec["ports"][0]["nodePort"]}/', 'http://198.51.100.9/']
  for url in urls:
    for source in ('client', ''):
      wait_for(lambda: get(cluster, url, source).code == 7, 5, f'{url} refused from {source or "the host"}')
  cluster.create(web('late', 'late')).ok()
  for url in urls:
    wait_served(cluster, url, {'late'})
  cluster.kubectl('delete', 'pod', 'late', '--wait=false').ok()


def test_readiness(cluster):
  """An endpoint that is not ready gets no connections."""
  need(cluster)
  probe = {'exec': {'command': ['test', '-e', '/tmp/ready']}, 'periodSeconds': 1, 'failureThreshold': 1}
  cluster.create(web('slow', 'slow', readinessProbe=probe)).ok()
  make(cluster, service('slow', selector={'app': 'slow'}))
  url = f'http://{ip_of(cluster, "slow")}/'
  cluster.wait_pod('slow', lambda p: p['status'].get('podIP'))
  wait_for(lambda: get(cluster, url).code == 7, 5, 'refused')
  cluster.kubectl('exec', 'slow', '--', 'touch', '/tmp/ready').ok()
  wait_served(cluster, url, {'slow'})
  cluster.kubectl('exec', 'slow', '--', 'rm', '/tmp/ready').ok()
  wait_for(lambda: get(cluster, url).code == 7, 10, 'refused again')
  cluster.kubectl('delete', 'pod', 'slow', '--wait=false').ok()


def test_affinity(cluster):
  need(cluster)
  make(cluster, service('sticky', sessionAffinity='ClientIP'))
  url = f'http://{ip_of(cluster, "sticky")}/'
  wait_for(lambda: get(cluster, url).code == 0, 5)
  seen = answers(cluster, url, 15)
  assert len(seen) == 1, seen
  cluster.kubectl('patch', 'service', 'sticky', '-p', json.dumps({'spec': {'sessionAffinity': 'None'}})).ok()
  wait_served(cluster, url, {'web-1', 'web-2'})


def test_outside(cluster):
  """Node ports and external addresses, from a pod, from the host, and from another host (a namespace that the pod range is not in)."""
  need(cluster)
  make(cluster, service('port', type='NodePort', externalIPs=['198.51.100.7']))
  port = cluster.json('get', 'service', 'port')['spec']['ports'][0]['nodePort']
  for url in (f'http://{host_address()}:{port}/', 'http://198.51.100.7/'):
    for source in ('client', 'host', ''):
      wait_served(cluster, url, {'web-1', 'web-2'}, source)
  with other_host(cluster) as curl:
    assert curl(f'http://{host_address()}:{port}/') in ('web-1\n', 'web-2\n')
    assert curl('http://198.51.100.7/') in ('web-1\n', 'web-2\n')
    assert curl(f'http://{ip_of(cluster, "port")}/') in ('web-1\n', 'web-2\n')


def test_load_balancer(cluster):
  """A service of type LoadBalancer gets the node's address, is served there to whom it is for, and says how it is."""
  need(cluster)
  make(cluster, service('balanced', type='LoadBalancer', externalTrafficPolicy='Local', loadBalancerSourceRanges=['192.0.2.0/25'],
                        ports=[{'port': 8085, 'targetPort': 'http'}]))
  status = wait_for(lambda: cluster.json('get', 'service', 'balanced')['status']['loadBalancer'].get('ingress'), 5, 'an address')
  assert status == [{'ip': host_address(), 'ipMode': 'VIP'}], status
  url = f'http://{host_address()}:8085/'
  wait_served(cluster, url, {'web-1', 'web-2'}, '')
  spec = cluster.json('get', 'service', 'balanced')['spec']
  health = get(cluster, f'http://{host_address()}:{spec["healthCheckNodePort"]}/', '')
  assert json.loads(health.out) == {'service': {'namespace': 'default', 'name': 'balanced'}, 'localEndpoints': 2, 'serviceProxyHealthy': True}
  with other_host(cluster) as curl:
    try:
      curl(url)
      raise AssertionError('it is not among the source ranges')
    except subprocess.CalledProcessError as error:
      assert error.returncode == 28, error  # dropped
    cluster.kubectl('patch', 'service', 'balanced', '-p', json.dumps({'spec': {'loadBalancerSourceRanges': ['192.0.2.0/24']}})).ok()
    time.sleep(0.5)
    assert curl(url) in ('web-1\n', 'web-2\n')


class other_host:
  """A network namespace on a veth pair of its own: another machine, as far as the node can tell. Yields a curl there."""

  def __init__(self, cluster):
    self.name = 'o' + cluster.marker[-8:]
    self.net = 200 + os.getpid() % 50

  def run(self, *words):
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout

  def __enter__(self):
    self.run('ip', 'netns', 'add', self.name)
    self.run('ip', 'link', 'add', self.name, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', self.name)
    self.run('ip', 'address', 'add', f'192.0.2.{self.net}/31', 'dev', self.name)
    self.run('ip', 'link', 'set', self.name, 'up')
    inside = ('ip', '-n', self.name)
    self.run(*inside, 'address', 'add', f'192.0.2.{self.net ^ 1}/31', 'dev', 'eth0')
    self.run(*inside, 'link', 'set', 'eth0', 'up')
    self.run(*inside, 'route', 'add', 'default', 'via', f'192.0.2.{self.net}')
    return lambda url: self.run('ip', 'netns', 'exec', self.name, 'curl', '-sS', '-m', '3', url)

  def __exit__(self, *_):
    subprocess.run(['ip', 'link', 'delete', self.name], check=False)
    subprocess.run(['ip', 'netns', 'delete', self.name], check=False)


def test_udp_follows(cluster):
  """A client that keeps its port gets to the next endpoint when the one it had goes."""
  need(cluster)
  for name in ('udp-1', 'udp-2'):
    script = f'socket(S,2,2,17); bind(S,pack("Sna4x8",2,53,"")) or die; while($a=recv(S,$b,100,0)) {{ send(S,"from {name}",0,$a) }}'
    cluster.create(pod(name, {'containers': [container('tools:latest', '/usr/bin/perl', '-e', script)]}, {'app': name})).ok()
  for name in ('udp-1', 'udp-2'):
    cluster.wait_ready(name)
  make(cluster, service('udp', selector={'app': 'udp-1'}, ports=[{'port': 5353, 'targetPort': 53, 'protocol': 'UDP'}]))
  address = ip_of(cluster, 'udp')
  wait_for(lambda: len(ends(cluster, 'udp')) == 1, 5)
  with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.settimeout(0.3)
    s.connect((address, 5353))

    def ask():
      s.send(b'x\n')
      try:
        return s.recv(100).decode().split()[-1]
      except OSError:
        return ''
    wait_for(lambda: ask() == 'udp-1', 5, 'the first answer')
    cluster.kubectl('patch', 'service', 'udp', '-p', json.dumps({'spec': {'selector': {'app': 'udp-2'}}})).ok()
    wait_for(lambda: ask() == 'udp-2', 5, 'an answer of the other')


def tables(cluster):
  own = inventory.instance(cluster.data)
  return [l.split()[2] for l in subprocess.run(['nft', 'list', 'tables'], capture_output=True, text=True, check=True).stdout.splitlines() if own in l]


def test_flushed(cluster):
  """Somebody removes our tables, or the rules in them: they come back."""
  need(cluster)
  make(cluster, service('heals'))
  url = f'http://{ip_of(cluster, "heals")}/'
  wait_served(cluster, url, {'web-1', 'web-2'})
  for command in ('delete table ip', 'flush table ip'):
    for table in tables(cluster):
      subprocess.run(['nft', *command.split(), table], check=True)
    wait_served(cluster, url, {'web-1', 'web-2'})
    wait_for(lambda: len(tables(cluster)) == 2, 5, 'both tables')


def test_killed(cluster):
  """Services go on while Seapod does not, and its next start changes nothing."""
  need(cluster)
  make(cluster, service('goes-on'))
  url = f'http://{ip_of(cluster, "goes-on")}/'
  wait_served(cluster, url, {'web-1', 'web-2'})
  table = next(t for t in tables(cluster) if t.endswith('-services'))
  rules = ['nft', '-a', 'list', 'table', 'ip', table]
  before = subprocess.run(rules, capture_output=True, text=True, check=True).stdout
  cluster.kill()
  assert get(cluster, url, '').out in ('web-1\n', 'web-2\n')
  cluster.start()
  time.sleep(1)
  after = subprocess.run(rules, capture_output=True, text=True, check=True).stdout
  assert strip(before) == strip(after), (before, after)


def strip(ruleset):
  return [line.strip() for line in ruleset.splitlines() if 'expires' not in line]


class Admin:
  """curl as the kubeconfig's administrator."""

  def __init__(self, cluster):
    config = cluster.json('config', 'view', '--raw')
    self.server, user = config['clusters'][0]['cluster']['server'], config['users'][0]['user']
    self.files = []
    for name in ('client-certificate-data', 'client-key-data'):
      self.files.append(os.path.join(cluster.directory, name))
      with open(self.files[-1], 'wb', opener=lambda p, f: os.open(p, f, 0o600)) as file:
        file.write(base64.b64decode(user[name]))

  def __call__(self, path, *arguments):
    words = ['curl', '-sSk', '-m', '5', '--cert', self.files[0], '--key', self.files[1], *arguments, self.server + path]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def test_proxied(cluster):
  """pods/NAME/proxy and services/NAME/proxy: every form of the name, every method, links and places led through, WebSocket."""
  need(cluster)
  with open(os.path.join(ROOT, 'test/harness/echo.pl')) as file:
    script = file.read()
  cluster.create(pod('echo', {'containers': [container('tools:latest', '/usr/bin/perl', '-e', script, ports=[{'containerPort': 8080}])]},
                     {'app': 'echo'})).ok()
  cluster.wait_ready('echo')
  make(cluster, service('echo', selector={'app': 'echo'}, ports=[{'name': 'web', 'port': 80, 'targetPort': 8080}]))
  wait_for(lambda: ends(cluster, 'echo'), 5)
  curl, base = Admin(cluster), '/api/v1/namespaces/default/'
  for path in ('pods/echo/proxy', 'pods/echo:8080/proxy', 'pods/http:echo:8080/proxy', 'services/echo:80/proxy', 'services/echo:web/proxy',
               'services/http:echo:web/proxy'):
    out = curl(base + path + '/a%20b/c?d=e')
    assert out.startswith('GET /a%20b/c?d=e auth= uri=' + base + path), (path, out)
  for method in ('POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'):
    assert curl(base + 'services/echo:web/proxy/x', '-X', method, '-d', 'body').startswith(method + ' /x auth='), method
    assert curl(base + 'services/echo:web/proxy/x', '-X', method, '-d', 'body').endswith(' body'), method
  assert 'HTTP/2 200' in curl(base + 'pods/echo/proxy/x', '-I')
  prefix = base + 'pods/echo/proxy'
  assert curl(prefix + '/page') == f'<p><a href="{prefix}/rewriteme">test</a> <img src=\'{prefix}/i.png\' alt=/x><a href="other">'
  assert f'location: {prefix}/there' in curl(prefix + '/moved', '-D', '-').lower()
  assert f'location: {prefix}/' in curl(prefix, '-D', '-', '-o', '/dev/null').lower()
  say = subprocess.run(['curl', '-sSk', '-m', '3', '--http1.1', '--no-buffer', '--cert', curl.files[0], '--key', curl.files[1], '-H', 'Connection: Upgrade',
                        '-H', 'Upgrade: chat', '-D', '-', curl.server + prefix + '/chat'], capture_output=True, text=True, check=False).stdout
  assert '101 Switching Protocols' in say and 'Upgrade: chat' in say, say
  for path, message in (('pods/nope/proxy/', 'pods "nope" not found'), ('services/echo:99/proxy/', 'no service port 99 found for service "echo"'),
                        ('services/ftp:echo:80/proxy/', 'invalid service request "ftp:echo:80"'),
                        ('services/kubernetes:x/proxy/', 'no endpoints available for service "kubernetes"')):
    assert message in json.loads(curl(base + path))['message'], path


def test_api_from_a_pod(cluster):
  """The API server at its cluster IP, with the pod's token and CA."""
  need(cluster)
  folder = '/var/run/secrets/kubernetes.io/serviceaccount'
  token = cluster.kubectl('exec', 'client', '--', 'cat', folder + '/token').ok()
  url = f'https://{ip_of(cluster, "kubernetes")}/api/v1/namespaces/default/pods/client'
  answer = get(cluster, url, arguments=('--cacert', folder + '/ca.crt', '-H', 'Authorization: Bearer ' + token))
  assert answer.code == 0, answer.err
  status = json.loads(answer.out)
  assert status['code'] == 403 and 'system:serviceaccount:default:default' in status['message'], status
  cluster.kubectl('create', 'rolebinding', 'look', '--clusterrole=view', '--serviceaccount=default:default').ok()
  answer = get(cluster, url, arguments=('--cacert', folder + '/ca.crt', '-H', 'Authorization: Bearer ' + token))
  assert json.loads(answer.out)['metadata']['name'] == 'client'


def test_two_clusters():
  """Side by side on one machine: each serves its own, and the end of one leaves the other alone."""
  shared, inventory.SHARED = inventory.SHARED, True  # what the other has is not left over by the one
  one, two = Cluster(), Cluster()
  for each in (one, two):
    each.import_images('tools:latest')
  one.start()
  two.start()
  try:
    urls = {}
    for each, name in ((one, 'of-one'), (two, 'of-two')):
      each.create(web(name)).ok()
      make(each, service('web'))
      urls[name] = f'http://{ip_of(each, "web")}/'
    for name, url in urls.items():
      wait_for(lambda: get(one, url, '').out == name + '\n', 15, f'an answer of {name}')
    one.stop()
    assert get(two, urls['of-two'], '').out == 'of-two\n'
    assert not tables(one)
  finally:
    two.stop()
    inventory.SHARED = shared
