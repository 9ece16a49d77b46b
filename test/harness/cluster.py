"""A cluster under test: starts the real binary with ports and directories of its own and drives it with kubectl."""
import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from . import images, inventory
from . import registry as registries

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get('BUILD', os.path.join(ROOT, 'build'))
SEAPOD = os.path.join(BUILD, 'seapod')


def free_port():
  with socket.socket() as s:
    s.bind(('127.0.0.1', 0))
    return s.getsockname()[1]


def free_network(but=''):
  """A network for pods or services that no link of this host has: other test runs may be under way."""
  lines = subprocess.run(['ip', '-o', '-4', 'address'], capture_output=True, text=True, check=False).stdout
  taken = {int(n) for n in re.findall(r' inet 10\.(\d+)\.', lines)}
  return f'10.{random.choice([n for n in range(50, 250) if n not in taken and f"10.{n}.0.0/16" != but])}.0.0/16'


def kubectl_path():
  return os.environ.get('KUBECTL', shutil.which('kubectl'))


class Failed(AssertionError):
  pass


class Result:
  def __init__(self, completed):
    self.code, self.out, self.err = completed.returncode, completed.stdout, completed.stderr

  def ok(self):
    if self.code != 0:
      raise Failed(f'exit code {self.code}\n{self.out}{self.err}')
    return self.out

  def fails(self, *texts):
    if self.code == 0:
      raise Failed(f'should have failed:\n{self.out}')
    for text in texts:
      if text not in self.err + self.out:
        raise Failed(f'{text!r} is not in:\n{self.err}{self.out}')
    return self.err


def wait_for(check, seconds=30, what='condition', interval=0.05):
  """Calls check() until it returns something true; that is returned."""
  end = time.monotonic() + seconds
  last = None
  while time.monotonic() < end:
    try:
      last = check()
      if last:
        return last
    except (Failed, AssertionError, KeyError, IndexError) as error:
      last = error
    time.sleep(interval)
  raise Failed(f'{what} not reached in {seconds} s (last: {last!r})')


def catches(pid, sig):
  """Whether the process has a handler for that signal by now."""
  with open(f'/proc/{pid}/status', encoding='ascii') as file:
    caught = next(int(line.split()[1], 16) for line in file if line.startswith('SigCgt:'))
  return bool(caught >> (sig - 1) & 1)


class Cluster:
  def __init__(self, node=True, store='sqlite', split=False, arguments=(), registry=False, keep=False, path=None, bind='127.0.0.1'):
    self.node, self.store, self.split, self.keep, self.bind = node, store, split, keep, bind
    self.directory = tempfile.mkdtemp(prefix='seapod-test-')
    self.marker = os.path.basename(self.directory)
    self.data = os.path.join(self.directory, 'data')
    self.kubeconfig = os.path.join(self.directory, 'kubeconfig')
    self.log_path = os.path.join(self.directory, 'server.log')
    self.port, self.node_port = free_port(), free_port()
    self.cgroup_parent = f'/{self.marker}'
    self.node_name = 'node-1'
    self.arguments = list(arguments)
    self.environment = dict(os.environ, PATH=f'{path}:{os.environ["PATH"]}') if path else None  # path: programs that go first
    self.registry = None
    if registry:
      self.registry = registries.DockerRegistry()
      self.arguments += ['--registry-mirror', f'docker.io=http://127.0.0.1:{self.registry.port}']
    self.cluster_cidr = free_network()
    self.service_cidr = free_network(self.cluster_cidr)
    self.processes = []
    self.before = inventory.take(self.marker, self.cgroup_parent, self.data)

  # Life ------------------------------------------------------------------------------------------
  def common(self):
    return ['--data-dir', self.data, '--v', os.environ.get('SEAPOD_V', '3')]

  def node_arguments(self):
    return ['--node-name', self.node_name, '--node-api-port', str(self.node_port), '--cgroup-parent', self.cgroup_parent,
            '--cluster-cidr', self.cluster_cidr, '--service-cidr', self.service_cidr, '--node-ip', '127.0.0.1'] + self.arguments

  def spawn(self, arguments):
    with open(self.log_path, 'ab') as log:
      process = subprocess.Popen([SEAPOD, *arguments], stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self.environment)
    self.processes.append(process)
    return process

  def start(self):
    arguments = ['server', *self.common(), '--bind-address', self.bind, '--secure-port', str(self.port),
                 '--write-kubeconfig', self.kubeconfig, '--store', self.store, *self.node_arguments()]
    if not self.node or self.split:
      arguments.append('--no-node')
    if self.split:
      arguments += ['--no-scheduler']
    self.server = self.spawn(arguments)
    wait_for(self.ready, 20, 'readyz')
    if self.split:
      self.start_split()
      for process in self.processes:
        wait_for(lambda p=process: catches(p.pid, signal.SIGTERM), 10, 'an actor that can be stopped')
    if self.node:
      wait_for(lambda: self.node_ready(), 20, 'node Ready')
    return self

  def start_split(self):
    """Scheduler and node as processes of their own, over HTTPS, with kubeconfigs of their own."""
    url = f'https://127.0.0.1:{self.port}'
    actors = [('scheduler', 'system:kube-scheduler', [])]
    if self.node:
      actors.append(('node', f'system:node:{self.node_name}', ['system:nodes']))
      actors.append(('proxy', 'system:kube-proxy', []))
    for name, user, groups in actors:
      text = subprocess.run([SEAPOD, 'kubeconfig', '--data-dir', self.data, '--user', user, '--server', url,
                             *(w for g in groups for w in ('--group', g))], capture_output=True, text=True, check=True).stdout
      with open(os.path.join(self.directory, name + '.kubeconfig'), 'w', opener=lambda p, f: os.open(p, f, 0o600)) as file:
        file.write(text)
    self.spawn(['scheduler', '--kubeconfig', os.path.join(self.directory, 'scheduler.kubeconfig')])
    if not self.node:
      return
    certificate = os.path.join(self.directory, 'node')
    address = dict(zip(self.arguments, self.arguments[1:])).get('--node-ip', '127.0.0.1')
    subprocess.run([SEAPOD, 'certificate', '--data-dir', self.data, '--out', certificate, '--san', address, '--san', self.node_name],
                   check=True)
    self.spawn(['node', *self.common(), *self.node_arguments(), '--kubeconfig', os.path.join(self.directory, 'node.kubeconfig'),
                '--proxy-kubeconfig', os.path.join(self.directory, 'proxy.kubeconfig'),
                '--tls-cert-file', certificate + '.crt', '--tls-key-file', certificate + '.key'])

  def ready(self):
    if self.server.poll() is not None:
      raise RuntimeError(f'the server exited with {self.server.returncode}:\n{self.log()}')
    return os.path.exists(self.kubeconfig) and self.kubectl('get', '--raw', '/readyz').out == 'ok'

  def node_ready(self):
    status = self.json('get', 'node', self.node_name)['status']
    return any(c['type'] == 'Ready' and c['status'] == 'True' for c in status.get('conditions', []))

  def kill(self, sig=signal.SIGKILL):
    """Ends every process of the cluster's own (never a container)."""
    for process in self.processes:
      if process.poll() is None:
        process.send_signal(sig)
    codes = [process.wait(20) for process in self.processes]
    self.processes = []
    return codes

  def stop(self):
    """Stops, cleans up, and fails if anything is left on the host."""
    codes = self.kill(signal.SIGTERM)
    log = self.log()
    if self.registry:
      self.registry.__exit__()
    subprocess.run([SEAPOD, 'cleanup', '--yes', '--data-dir', self.data, '--cgroup-parent', self.cgroup_parent,
                    '--cluster-cidr', self.cluster_cidr], check=True)
    left = []
    for _ in range(30):  # what was told to end may take a moment
      left = inventory.difference(self.before, inventory.take(self.marker, self.cgroup_parent, self.data))
      if not left:
        break
      time.sleep(0.1)
    if not self.keep:
      shutil.rmtree(self.directory, ignore_errors=True)
    if any(codes) or 'Sanitizer' in log or 'runtime error:' in log:
      raise Failed(f'the server ended with {codes}:\n{log}')
    if left:
      raise Failed('left on the host:\n  ' + '\n  '.join(left))

  def log(self):
    with contextlib.suppress(OSError):
      with open(self.log_path, errors='replace') as file:
        return file.read()[-20000:]
    return ''

  # Use -------------------------------------------------------------------------------------------
  def command(self, *arguments, kubectl=None):
    return [kubectl or kubectl_path(), '--kubeconfig', self.kubeconfig, '--cache-dir', os.path.join(self.directory, 'cache'), *arguments]

  def kubectl(self, *arguments, stdin=None, timeout=60, kubectl=None):
    return Result(subprocess.run(self.command(*arguments, kubectl=kubectl), input=stdin, capture_output=True, text=True,
                                 timeout=timeout, check=False))

  def popen(self, *arguments, kubectl=None, **options):
    return subprocess.Popen(self.command(*arguments, kubectl=kubectl), **options)

  def json(self, *arguments):
    return json.loads(self.kubectl(*arguments, '-o', 'json').ok())

  def create(self, manifest, verb='create'):
    """A manifest as text or as a tree."""
    text = manifest if isinstance(manifest, str) else json.dumps(manifest)
    return self.kubectl(verb, '-f', '-', stdin=text)

  def pod(self, name, namespace='default'):
    return self.json('-n', namespace, 'get', 'pod', name)

  def wait_pod(self, name, check, seconds=30, namespace='default', what=None):
    def look():
      pod = self.pod(name, namespace)
      return check(pod) and pod
    return wait_for(look, seconds, what or f'pod {name}')

  def wait_ready(self, name, seconds=30, namespace='default'):
    return self.wait_pod(name, lambda p: condition(p, 'Ready') == 'True', seconds, namespace, f'pod {name} Ready')

  def import_images(self, *names):
    for name in names:
      images.make(SEAPOD, self.data, name)
      if self.registry:
        images.push(self.registry, name)

  def image(self, verb, *arguments):
    """`seapod image VERB`, beside the running server."""
    return subprocess.run([SEAPOD, 'image', verb, '--data-dir', self.data, *arguments], capture_output=True, text=True, check=True).stdout

  def image_list(self):
    return self.image('list', '--json')

  def seed(self, name):
    """A manifest of the study note, unchanged."""
    return self.kubectl('create', '-f', os.path.join(ROOT, 'test', 'seed', name)).ok()


def condition(pod, kind):
  return next((c['status'] for c in pod['status'].get('conditions', []) if c['type'] == kind), None)


def container_status(pod, index=0):
  return pod['status']['containerStatuses'][index]
