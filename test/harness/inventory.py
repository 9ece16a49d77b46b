"""What a host has that a cluster may leave behind: compared before and after every node test.

With SEAPOD_TEST_SHARED=1 in the environment (other clusters run on this machine), only what names this cluster's instance counts.
"""
import hashlib
import os
import re
import subprocess


def _lines(*command):
  result = subprocess.run(command, capture_output=True, text=True, check=False)
  return result.stdout.splitlines()


def _processes(marker):
  """Command lines of processes that name the cluster's directories, conmon, crun or our helpers."""
  found = []
  for pid in filter(str.isdigit, os.listdir('/proc')):
    try:
      with open(f'/proc/{pid}/cmdline', 'rb') as file:
        words = file.read().replace(b'\0', b' ').decode(errors='replace').strip()
      cgroup = open(f'/proc/{pid}/cgroup').read()
    except OSError:
      continue
    if words and (marker in words or marker in cgroup):  # no words: a zombie that init has yet to reap
      found.append(words)
  return found


def _cgroups(parent):
  found = []
  for root in ('/sys/fs/cgroup', *(os.path.join('/sys/fs/cgroup', d) for d in os.listdir('/sys/fs/cgroup'))):
    path = root + parent
    if os.path.isdir(path):
      found += [os.path.join(d, s) for d, subs, _ in os.walk(path) for s in subs] + [path]
  return found


SHARED = bool(os.environ.get('SEAPOD_TEST_SHARED'))


def instance(data_directory):
  """How the program names a data directory in /run/seapod, links and tables."""
  return hashlib.sha256(os.path.realpath(data_directory).encode()).hexdigest()[:6]


def _own(items, *words):
  return [item for item in items if not SHARED or any(word in item for word in words)]


def take(marker, cgroup_parent, data_directory):
  """`marker`: a string that everything of the cluster carries in a path (its data directory's base name)."""
  own = instance(data_directory)
  links = [re.sub(r'@\S*', '', line.split(': ', 1)[1]) for line in _lines('ip', '-o', 'link')]
  return {
      'processes': sorted(_processes(marker)),
      'mounts': sorted(_own((l.split()[1] for l in open('/proc/self/mounts') if marker in l or '/seapod' in l), marker, own)),
      'links': sorted(link.split(':')[0] for link in _own(links, own)),
      'addresses': sorted(_own((' '.join(l.split()[1:4]) for l in _lines('ip', '-o', 'address')), own)),
      'namespaces': sorted(_own(_lines('ip', 'netns', 'list'), own)),
      'nftables': sorted(_own(_lines('nft', 'list', 'tables'), own)),
      'cgroups': sorted(_cgroups(cgroup_parent)),
      'run': sorted(_own(os.listdir('/run/seapod') if os.path.isdir('/run/seapod') else [], own)),
  }


def difference(before, after):
  """Human-readable lines of what is in `after` and was not in `before`."""
  return [f'{kind}: {item}' for kind in after for item in after[kind] if after[kind].count(item) > before[kind].count(item)]
