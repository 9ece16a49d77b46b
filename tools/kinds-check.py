#!/usr/bin/env python3
"""Compares kinds files with upstream's Go types, mechanically, and prints each difference.

usage: kinds-check.py [--notes] KINDS_FILE=DIRECTORY...

DIRECTORY holds types.go and generated.proto of the group and version, as in kubernetes/api
(core/v1) and kubernetes/apimachinery (pkg/apis/meta/v1); all files that types come from must be
given together. Compared are: which fields there are, JSON names, types, pointers, Protobuf numbers,
omitempty, list types and keys, patch strategies. With --notes it also names Go types that no kinds
file describes. Ends with 1 when there are differences.
"""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import kinds  # noqa: E402

SCALARS = {
  'string': 'string', 'bool': 'bool', 'int32': 'int32', 'int64': 'int64', 'int': 'int64',
  'float64': 'double', '[]byte': 'bytes', 'Time': 'time', 'MicroTime': 'micro-time',
  'Duration': 'duration', 'Quantity': 'quantity', 'IntOrString': 'int-or-string',
  'RawExtension': 'raw', 'FieldsV1': 'raw', 'UID': 'string', 'NodeName': 'string',
}
# Go calls these by other names than the API does.
BARE = re.compile(r'^(?:[a-z0-9]+\.)?(\w+)$')


class GoField:
  def __init__(self, name, written, tag, markers):
    self.go_name, self.written, self.markers = name, written, markers
    json = re.search(r'json:"([^"]*)"', tag)
    parts = json[1].split(',') if json else ['']
    self.name, self.options = parts[0], parts[1:]
    self.patch = (re.search(r'patchStrategy:"([^"]*)"', tag) or ['', ''])[1]
    self.patch_key = (re.search(r'patchMergeKey:"([^"]*)"', tag) or ['', ''])[1]

  def marker(self, name):
    values = [m.split('=', 1)[1] for m in self.markers if m.startswith('+%s=' % name)]
    return values


class GoPackage:
  """The structs and named types of one types.go, and the numbers of one generated.proto."""

  def __init__(self, directory):
    self.structs, self.aliases, self.numbers = {}, {}, {}
    self.read_go(os.path.join(directory, 'types.go'))
    self.read_proto(os.path.join(directory, 'generated.proto'))

  def read_go(self, path):
    with open(path, encoding='utf-8') as file:
      text = re.sub(r'/\*.*?\*/', '', file.read(), flags=re.S)
    for match in re.finditer(r'^type (\w+) (?!struct)([^\n]+?)\s*(?://.*)?$', text, re.M):
      self.aliases[match[1]] = match[2].lstrip('= ')
    for match in re.finditer(r'^type (\w+) struct ?\{(?:\n(.*?)^)?\}', text, re.M | re.S):
      self.structs[match[1]] = self.read_fields(match[2] or '')

  @staticmethod
  def read_fields(body):
    fields, markers = [], []
    for line in body.split('\n'):
      line = line.strip()
      if line.startswith('//'):
        markers.append(line[2:].strip())
        continue
      match = re.match(r'(?:(\w+)\s+)?([\w.\[\]*{}]+)\s*(?:`(.*)`)?\s*(?://.*)?$', line)
      if match and line:
        field = GoField(match[1], match[2], match[3] or '', markers)
        if field.name != '-':
          fields.append(field)
        markers = []
    return fields

  def read_proto(self, path):
    message = None
    with open(path, encoding='utf-8') as file:
      for line in file:
        match = re.match(r'message (\w+) \{', line)
        if match:
          message = self.numbers.setdefault(match[1], {})
        match = re.match(r'\s+[^/]*?(\w+) = (\d+)( \[.*\])?;', line)
        if match and message is not None:
          message[match[1].lower()] = int(match[2])  # uid is called uID once


class Check:
  def __init__(self, model, packages):
    self.model, self.packages = model, packages
    self.differences = []

  def say(self, where, text):
    self.differences.append('%s: %s' % (where, text))

  def resolve(self, package, written):
    """A Go type as (shape, name of scalar or struct, pointer)."""
    pointer = written.startswith('*')
    written = written.lstrip('*')
    if written in SCALARS:
      return 'one', SCALARS[written], pointer
    if written.startswith('[]'):
      shape, name, _ = self.resolve(package, written[2:])
      return ('list', name, pointer) if shape == 'one' else ('list', 'raw', pointer)
    match = re.match(r'map\[[\w.]+\](.+)', written)
    if match:
      shape, name, _ = self.resolve(package, match[1])
      return ('map', name, pointer) if shape == 'one' else ('map', 'raw', pointer)
    name = BARE.match(written)[1]
    if name in SCALARS:
      return 'one', SCALARS[name], pointer
    for candidate in [package] + self.packages:
      if name in candidate.structs:
        return 'one', name, pointer
      if name in candidate.aliases:
        shape, base, _ = self.resolve(candidate, candidate.aliases[name])
        return shape, base, pointer
    return 'one', '?' + written, pointer

  def check_type(self, package, kind):
    if kind.name not in package.structs:
      if not is_list(kind):
        self.say(kind.where, 'upstream has no type %s' % kind.name)
      return
    ours = {f.name or f.base: f for f in kind.fields}
    for go in package.structs[kind.name]:
      shape, base, pointer = self.resolve(package, go.written)
      key = go.name or base
      field = ours.pop(key, None)
      if field is None:
        self.say(kind.where, '%s lacks %s (%s)' % (kind.name, key, go.written))
        continue
      label = '%s.%s' % (kind.name, key)
      if (field.shape, field.base, field.pointer) != (shape, base, pointer):
        self.say(field.where, '%s is %s%s %s, upstream %s%s %s' %
                 (label, '*' * field.pointer, field.shape, field.base, '*' * pointer, shape, base))
      number = package.numbers.get(kind.name, {}).get((go.name or base).lower(), 0)
      if go.name and field.number != number:
        self.say(field.where, '%s has number %d, upstream %d' % (label, field.number, number))
      if go.name:
        self.check_tags(label, field, go)
    for name in ours:
      self.say(kind.where, 'upstream has no %s.%s' % (kind.name, name))

  def check_tags(self, label, field, go):
    omits = 'omitempty' in go.options or 'omitzero' in go.options
    plain_struct = field.type and field.shape == 'one' and not field.pointer
    plain_time = field.base in ('time', 'micro-time') and field.shape == 'one' and not field.pointer
    written = not omits or (plain_struct or plain_time) and 'omitzero' not in go.options
    if 'REQUIRED' not in field.flags and ('ALWAYS' in field.flags) != bool(written):
      self.say(field.where, '%s: upstream %s it when empty' % (label, 'writes' if written else 'omits'))
    list_types = go.marker('listType')
    if field.shape == 'list' and (list_types or ['atomic'])[0] != field.list_type:
      self.say(field.where, '%s: list type %s, upstream %s' % (label, field.list_type, list_types))
    if go.marker('listMapKey') != field.keys:
      self.say(field.where, '%s: keys %s, upstream %s' % (label, field.keys, go.marker('listMapKey')))
    patch = {'PATCH_MERGE': 'merge', 'PATCH_REPLACE': 'replace', 'PATCH_RETAIN_KEYS': 'retainKeys'}
    ours = {patch[f] for f in field.flags if f in patch}
    if ours != set(filter(None, go.patch.split(','))) or field.patch_key != go.patch_key:
      self.say(field.where, '%s: patch %s %s, upstream %s %s' %
               (label, sorted(ours), field.patch_key, go.patch, go.patch_key))


def is_list(kind):
  return kind.name.endswith('List') and any(f.name == 'items' for f in kind.fields)


def main(arguments):
  notes = arguments[:1] == ['--notes']
  pairs = [a.split('=', 1) for a in arguments[notes:]]
  if not pairs or any(len(p) != 2 for p in pairs):
    sys.exit(__doc__)
  try:
    model = kinds.load([path for path, _ in pairs])
    packages = [GoPackage(directory) for _, directory in pairs]
  except (kinds.KindsError, OSError) as error:
    sys.exit(str(error))
  check = Check(model, packages)
  for group, package in zip(model.groups, packages):
    for kind in group.types:
      check.check_type(package, kind)
    described = {t.name for t in group.types}
    for name in sorted(set(package.structs) - described):
      if notes and not (name.endswith('List') and name[:-4] in described):
        print('note: %s does not describe %s' % (group.file_name, name))
  for line in check.differences:
    print(line)
  sys.exit(1 if check.differences else 0)


if __name__ == '__main__':
  main(sys.argv[1:])
