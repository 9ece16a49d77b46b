"""What a host has that a cluster may leave behind: compared before and after every node test."""
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


def take(marker, cgroup_parent):
  """`marker`: a string that everything of the cluster carries in a path (its data directory's base name)."""
  return {
      'processes': sorted(_processes(marker)),
      'mounts': sorted(l.split()[1] for l in open('/proc/self/mounts') if marker in l or '/seapod' in l),
      'links': sorted(re.sub(r'@.*', '', l.split(': ')[1]) for l in _lines('ip', '-o', 'link')),
      'addresses': sorted(' '.join(l.split()[1:4]) for l in _lines('ip', '-o', 'address')),
      'namespaces': sorted(_lines('ip', 'netns', 'list')),
      'nftables': sorted(_lines('nft', 'list', 'tables')),
      'cgroups': sorted(_cgroups(cgroup_parent)),
      'run': sorted(os.listdir('/run/seapod')) if os.path.isdir('/run/seapod') else [],
  }


def difference(before, after):
  """Human-readable lines of what is in `after` and was not in `before`."""
  return [f'{kind}: {item}' for kind in after for item in after[kind] if after[kind].count(item) > before[kind].count(item)]
