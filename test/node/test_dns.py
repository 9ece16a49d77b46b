"""The cluster's DNS server: the Kubernetes DNS specification 1.1.0, other zones, and pods that use it."""
import socket
import struct

from harness.cluster import wait_for
from harness.dns import Upstream, ask

UPSTREAM = Upstream({'example.com': (0, [('A', '192.0.2.80')]),
                     'big.example.com': (0, [('A', f'192.0.2.{n}') for n in range(200)]),
                     'www.example.com': (0, [('CNAME', 'example.com'), ('A', '192.0.2.80')])})
CLUSTER = {'images': ('tools:latest',), 'arguments': ('--dns-upstream', f'127.0.0.1:{UPSTREAM.port}')}
ZONE = 'cluster.local'


def server(cluster):
  return cluster.json('-n', 'kube-system', 'get', 'service', 'kube-dns')['spec']['clusterIP']


def q(cluster, name, kind='A', **more):
  return ask(server(cluster), name, kind, **more)


def make(cluster, name, labels=None, **spec):
  cluster.create({'apiVersion': 'v1', 'kind': 'Service', 'metadata': {'name': name, 'labels': labels or {}}, 'spec': spec}).ok()


def pod(name, **spec):
  container = {'name': 'c', 'image': 'tools:latest', 'imagePullPolicy': 'IfNotPresent', 'command': ['sleep', '100000']}
  return {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': name, 'labels': {'app': 'db'}},
          'spec': {'terminationGracePeriodSeconds': 0, 'containers': [container], **spec}}


def need(cluster):
  if getattr(cluster, 'has_pods', False):
    return
  make(cluster, 'db', clusterIP='None', selector={'app': 'db'}, ports=[{'name': 'sql', 'port': 3306}])
  make(cluster, 'web', selector={'app': 'none'}, ports=[{'name': 'http', 'port': 80}, {'name': 'dns', 'port': 53, 'protocol': 'UDP'}])
  for n in (0, 1):
    cluster.create(pod(f'db-{n}', hostname=f'db-{n}', subdomain='db')).ok()
  for n in (0, 1):
    cluster.wait_ready(f'db-{n}')
  wait_for(lambda: len(q(cluster, f'db.default.svc.{ZONE}').answers) == 2, 10, 'two addresses of db')
  cluster.has_pods = True


def test_services(cluster):
  """Section 2.3: A, SRV and PTR of a service with a cluster IP."""
  need(cluster)
  ip = cluster.json('get', 'service', 'web')['spec']['clusterIP']
  name = f'web.default.svc.{ZONE}'
  answer = q(cluster, name)
  assert answer.answers == [(name, 'A', ip)] and answer.authoritative and answer.edns
  assert q(cluster, name, tcp=True).answers == [(name, 'A', ip)]
  assert q(cluster, name.upper().replace('LOCAL', 'local')).data() == [ip]
  answer = q(cluster, name, 'AAAA')
  assert answer.code == 0 and not answer.answers and answer.authority[0][1] == 'SOA'
  answer = q(cluster, '_http._tcp.' + name, 'SRV')
  assert answer.data() == [(0, 100, 80, name)] and answer.additional == [(name, 'A', ip)]
  assert q(cluster, '_dns._udp.' + name, 'SRV').data() == [(0, 100, 53, name)]
  assert q(cluster, '_dns._tcp.' + name, 'SRV').code == 3
  assert q(cluster, '.'.join(reversed(ip.split('.'))) + '.in-addr.arpa', 'PTR').data() == [name]
  for wrong in ('nope', f'nope.default.svc.{ZONE}', f'web.nope.svc.{ZONE}', f'x.web.default.svc.{ZONE}', f'x.{ZONE}'):
    answer = q(cluster, wrong)
    assert answer.code == 3, wrong
  assert not q(cluster, name, edns=False).edns


def test_headless(cluster):
  """Section 2.4: an address for each ready endpoint, one name for each host name."""
  need(cluster)
  ips = [cluster.pod(f'db-{n}')['status']['podIP'] for n in (0, 1)]
  name = f'db.default.svc.{ZONE}'
  assert q(cluster, name).data() == sorted(ips)
  for n, ip in enumerate(ips):
    assert q(cluster, f'db-{n}.{name}').data() == [ip]
    assert q(cluster, '.'.join(reversed(ip.split('.'))) + '.in-addr.arpa', 'PTR').data() == [f'db-{n}.{name}']
  answer = q(cluster, '_sql._tcp.' + name, 'SRV')
  assert answer.data() == [(0, 50, 3306, f'db-{n}.{name}') for n in (0, 1)]
  assert sorted(answer.additional) == [(f'db-{n}.{name}', 'A', ips[n]) for n in (0, 1)]
  make(cluster, 'empty', clusterIP='None', selector={'app': 'nobody'}, ports=[{'port': 1}])
  assert q(cluster, f'empty.default.svc.{ZONE}').code == 3


def test_other_names(cluster):
  need(cluster)
  assert q(cluster, f'dns-version.{ZONE}', 'TXT').data() == ['1.1.0']
  assert q(cluster, f'10-1-2-3.default.pod.{ZONE}').data() == ['10.1.2.3']
  assert q(cluster, ZONE, 'SOA').answers[0][1] == 'SOA'
  for nothing in (ZONE, f'svc.{ZONE}', f'default.svc.{ZONE}', f'_tcp.web.default.svc.{ZONE}'):
    answer = q(cluster, nothing)
    assert answer.code == 0 and not answer.answers and answer.authority, nothing


def test_external_names(cluster):
  """Section 2.5: a CNAME, and what stands behind it."""
  need(cluster)
  make(cluster, 'out', type='ExternalName', externalName='example.com')
  make(cluster, 'alias', type='ExternalName', externalName=f'web.default.svc.{ZONE}')
  name = f'out.default.svc.{ZONE}'
  wait_for(lambda: q(cluster, name).answers == [(name, 'CNAME', 'example.com'), ('example.com', 'A', '192.0.2.80')], 5)
  assert q(cluster, name, 'CNAME').data() == ['example.com']
  ip = cluster.json('get', 'service', 'web')['spec']['clusterIP']
  assert q(cluster, f'alias.default.svc.{ZONE}').answers[1][2] == ip


def test_forwarded(cluster):
  """Other zones come from upstream, once: positive and negative answers are kept; large ones by TCP."""
  need(cluster)
  for _ in range(3):
    assert q(cluster, 'www.example.com').answers == [('www.example.com', 'CNAME', 'example.com'), ('www.example.com', 'A', '192.0.2.80')]
    assert q(cluster, 'gone.example.com').code == 3
  assert UPSTREAM.asked.count(('www.example.com', 'A')) == 1 and UPSTREAM.asked.count(('gone.example.com', 'A')) == 1
  answer = q(cluster, 'big.example.com')
  assert answer.truncated and not answer.answers
  assert len(q(cluster, 'big.example.com', tcp=True).answers) == 200


def test_malformed(cluster):
  need(cluster)
  address = server(cluster)
  header = struct.pack('>6H', 7, 0x100, 1, 0, 0, 0)
  with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.settimeout(2)
    s.connect((address, 53))
    for packet, code in ((header, 1), (header + b'\xc0\x0c\0\1\0\1', 1), (header + b'\x40' + b'a' * 64 + b'\0\0\1\0\1', 1),
                         (struct.pack('>6H', 7, 0x2900, 1, 0, 0, 0), 4), (header + b'\0\0\1\0\3', 5)):
      s.send(packet)
      assert s.recv(512)[3] & 15 == code, packet
    s.send(struct.pack('>6H', 7, 0x8100, 1, 0, 0, 0) + b'\0\0\1\0\1')  # an answer is not answered
    s.send(b'short')
    s.settimeout(0.3)
    try:
      s.recv(512)
      raise AssertionError('answered')
    except TimeoutError:
      pass


def test_seed_services(cluster):
  """The study note's 08 and 16: names of a headless service's pods, one address for what app=MyApp selects."""
  need(cluster)
  cluster.seed('08-headless-service.yaml')
  cluster.seed('16-service-my-service.yaml')
  container = {'name': 'c', 'image': 'tools:latest', 'imagePullPolicy': 'IfNotPresent',
               'command': ['sh', '-c', 'mkdir /w; hostname > /w/index.html; exec httpd -f -p 9376 -h /w']}
  for name, labels, more in (('web-0', {'app': 'nginx'}, {'hostname': 'web-0', 'subdomain': 'nginx'}), ('mine', {'app': 'MyApp'}, {})):
    cluster.create({'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': name, 'labels': labels},
                    'spec': {'terminationGracePeriodSeconds': 0, 'containers': [container], **more}}).ok()
  ip = cluster.wait_ready('web-0')['status']['podIP']
  cluster.wait_ready('mine')
  for name in ('web-0.nginx', 'nginx'):
    wait_for(lambda: cluster.kubectl('exec', 'db-0', '--', 'getent', 'hosts', name).ok().split()[0] == ip, 5, name)
  wait_for(lambda: cluster.kubectl('exec', 'db-0', '--', 'curl', '-sS', '-m', '3', 'http://my-service/').ok() == 'mine\n', 5)


def test_from_a_pod(cluster):
  """resolv.conf as a kubelet writes it; short names, names of the host's resolver."""
  need(cluster)
  text = cluster.kubectl('exec', 'db-0', '--', 'cat', '/etc/resolv.conf').ok()
  assert f'nameserver {server(cluster)}' in text and f'search default.svc.{ZONE} svc.{ZONE} {ZONE}' in text and 'options ndots:5' in text
  ip = cluster.json('get', 'service', 'web')['spec']['clusterIP']
  for name, found in (('web', ip), ('web.default', ip), ('db-1.db', cluster.pod('db-1')['status']['podIP']), ('example.com', '192.0.2.80')):
    assert cluster.kubectl('exec', 'db-0', '--', 'getent', 'hosts', name).ok().split()[0] == found, name


def test_follows(cluster):
  """A name goes and comes with its endpoint."""
  need(cluster)
  name = f'db-9.db.default.svc.{ZONE}'
  assert q(cluster, name).code == 3
  cluster.create(pod('db-9', hostname='db-9', subdomain='db')).ok()
  ip = cluster.wait_ready('db-9')['status']['podIP']
  wait_for(lambda: q(cluster, name).data() == [ip], 5)
  cluster.kubectl('delete', 'pod', 'db-9').ok()
  wait_for(lambda: q(cluster, name).code == 3, 5)
