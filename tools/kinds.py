#!/usr/bin/env python3
"""Turns kinds/*.kinds into C: kinds.h (structs, accessors), kinds.c (the tables), rules.h.

The syntax is described in kinds/README.md, the tables in src/schema/type.h, the shape of the
structs in src/schema/typed.h. Errors are printed as FILE:LINE: MESSAGE and end the program with 1.

usage: kinds.py --out DIR FILE.kinds...      writes DIR/kinds.h DIR/kinds.c DIR/rules.h
       kinds.py --check FILE.kinds...        reads and checks only
"""
import json
import os
import re
import sys

SCALARS = {
  'string': 'FIELD_STRING', 'bool': 'FIELD_BOOL', 'int32': 'FIELD_INT32', 'int64': 'FIELD_INT64',
  'double': 'FIELD_DOUBLE', 'bytes': 'FIELD_BYTES', 'quantity': 'FIELD_QUANTITY',
  'int-or-string': 'FIELD_INT_OR_STRING', 'time': 'FIELD_TIME', 'micro-time': 'FIELD_MICRO_TIME',
  'duration': 'FIELD_DURATION', 'raw': 'FIELD_RAW', 'any': 'FIELD_RAW',
}
C_TYPES = {
  'string': 'Str', 'bool': 'bool', 'int32': 'int32_t', 'int64': 'int64_t', 'double': 'double',
  'bytes': 'Str', 'quantity': 'Str', 'int-or-string': 'IntOrString', 'time': 'int64_t',
  'micro-time': 'int64_t', 'duration': 'Str', 'raw': 'const Value *', 'any': 'const Value *',
}
# Absence already shows in these, so a Go pointer changes nothing in C.
SELF_ABSENT = {'string', 'bytes', 'quantity', 'duration', 'time', 'micro-time', 'int-or-string', 'raw', 'any'}
FORMATS = ('dns-label dns-subdomain dns-label-1035 label-key label-value port-name env-name '
           'config-key ip absolute-path path-segment').split()
VERBS = 'get list watch create update patch delete deletecollection'.split()
COLUMN_KINDS = 'string integer number boolean date'.split()
C_KEYWORDS = set('''auto break case char const continue default do double else enum extern float for
  goto if inline int long register restrict return short signed sizeof static struct switch typedef
  union unsigned void volatile while bool true false linux unix'''.split())


class KindsError(Exception):
  """A fault in a kinds file; str() is FILE:LINE: MESSAGE."""

  def __init__(self, where, message):
    super().__init__('%s: %s' % (where, message))


class Field:
  def __init__(self, where):
    self.where = where
    self.number = 0
    self.name = ''
    self.base = ''          # scalar name or the name of a type, as written
    self.type = None        # Type, once resolved
    self.of = ''            # `any`: the type of values that are objects
    self.object_type = None # it, once resolved
    self.shape = 'one'      # one list map
    self.pointer = self.inline = False
    self.flags = set()      # names of FIELD_* flags besides POINTER and INLINE
    self.list_type = 'atomic'
    self.keys = []
    self.patch_key = ''
    self.default = None
    self.enum = []
    self.minimum = self.maximum = None
    self.max_length = 0
    self.format = ''
    self.doc = ''
    self.c_name = ''


class Type:
  def __init__(self, where, group, name):
    self.where, self.group, self.name = where, group, name
    self.c_name = name
    self.doc = ''
    self.rules = ''
    self.map_atomic = False
    self.fields = []

  @property
  def openapi_name(self):
    return self.group.package + '.' + self.name


class Column:
  pass


class Subresource:
  pass


class Resource:
  def __init__(self, where, group, plural, kind):
    self.where, self.group, self.plural, self.kind = where, group, plural, kind
    self.singular = kind.lower()
    self.short, self.categories, self.fields, self.field_paths = [], [], [], []
    self.columns, self.subresources = [], []
    self.verbs = list(VERBS)
    self.namespaced = self.virtual = self.status = self.generation = self.idle = False
    self.generation_annotations = False
    self.stored_as = None
    self.rules = ''
    self.type = None


class Group:
  def __init__(self, where, name, group, version, file_name):
    self.where, self.name, self.group, self.version = where, name, group, version
    self.file_name = file_name
    self.package = ''
    self.types, self.resources = [], []


def snake(name):
  """podIPs -> pod_ips, hostPID -> host_pid, x-kubernetes-group -> x_kubernetes_group."""
  name = re.sub(r'[^A-Za-z0-9]+', '_', name).strip('_')
  name = re.sub(r'([A-Z]{2,})s(?=[A-Z]|$)', lambda m: m[1][0] + m[1][1:].lower() + 's', name)
  name = re.sub(r'([a-z0-9])([A-Z])', r'\1_\2', name)
  name = re.sub(r'([A-Z])([A-Z][a-z])', r'\1_\2', name)
  name = name.lower()
  return name + '_' if name in C_KEYWORDS else name


def parse_attribute(where, token, field):
  key, equals, value = token.partition('=')
  plain = {
    'required': ('REQUIRED', 'ALWAYS', 'SCHEMA_REQUIRED'), 'always': ('ALWAYS', 'SCHEMA_REQUIRED'),
    'written': ('ALWAYS',), 'nonempty': ('REQUIRED',), 'immutable': ('IMMUTABLE',),
    'deprecated': ('DEPRECATED',), 'omit': ('-OMIT',), 'duplicates': ('DUPLICATES',),
    'by-rules': ('BY_RULES',),
  }
  if not equals:
    if key == 'inline':
      field.inline = True
    elif key in plain:
      field.flags.update(plain[key])
    else:
      raise KindsError(where, 'unknown attribute "%s"' % token)
  elif value == '':
    raise KindsError(where, 'attribute "%s" has no value' % key)
  elif key == 'default':
    try:
      json.loads(value)
    except ValueError as error:
      raise KindsError(where, 'default is not JSON: %s' % error)
    field.default = value
  elif key == 'enum':
    field.enum = value.split('|')
    if len(set(field.enum)) != len(field.enum):
      raise KindsError(where, 'enum names a value twice')
  elif key == 'range':
    match = re.fullmatch(r'(-?\d*)\.\.(-?\d*)', value)
    if not match:
      raise KindsError(where, 'range wants LOW..HIGH, not "%s"' % value)
    field.minimum = int(match[1]) if match[1] else None
    field.maximum = int(match[2]) if match[2] else None
  elif key == 'max':
    if not value.isdigit():
      raise KindsError(where, 'max wants a number, not "%s"' % value)
    field.max_length = int(value)
  elif key == 'format':
    if value not in FORMATS:
      raise KindsError(where, 'unknown format "%s"' % value)
    field.format = value
  elif key == 'list':
    if value not in ('atomic', 'set', 'map') or field.shape != 'list':
      raise KindsError(where, 'list=atomic|set|map, and only on a list')
    field.list_type = value
  elif key == 'key':
    field.keys = value.split(',')
  elif key == 'patch':
    strategies, _, field.patch_key = value.partition(':')
    for strategy in strategies.split(','):
      if strategy not in ('merge', 'replace', 'retainKeys'):
        raise KindsError(where, 'unknown patch strategy "%s"' % strategy)
      field.flags.add({'merge': 'PATCH_MERGE', 'replace': 'PATCH_REPLACE',
                       'retainKeys': 'PATCH_RETAIN_KEYS'}[strategy])
  elif key == 'of':
    if field.base != 'any':
      raise KindsError(where, 'of= wants the type "any"')
    field.of = value
  elif key == 'or':
    if field.base != 'any' or value not in ('bool', 'list'):
      raise KindsError(where, 'or=bool|list, and only on the type "any"')
    field.flags.add('OR_' + value.upper())
  elif key == 'map':
    if value != 'atomic':
      raise KindsError(where, 'map wants "atomic"')
    field.flags.add('MAP_ATOMIC')
  else:
    raise KindsError(where, 'unknown attribute "%s"' % key)


def parse_field(where, text):
  tokens = text.split()
  if len(tokens) < 3:
    raise KindsError(where, 'a field is NUMBER NAME TYPE ATTRIBUTES - TEXT')
  field = Field(where)
  number, field.name, written = tokens[:3]
  at = 3
  if not (number == '-' or number.isdigit() and 0 < int(number) < 65536):
    raise KindsError(where, 'bad field number "%s"' % number)
  field.number = 0 if number == '-' else int(number)
  if written == 'map':
    if len(tokens) < 4:
      raise KindsError(where, 'map of what?')
    field.shape, written, at = 'map', tokens[3], 4
  elif written.startswith('[]'):
    field.shape, written = 'list', written[2:]
  elif written.startswith('*'):
    field.pointer, written = True, written[1:]
  if not re.fullmatch(r'[A-Za-z0-9.-]+', written):
    raise KindsError(where, 'bad type "%s"' % written)
  field.base = written
  if written == 'any':
    field.flags.add('ANY')
  end = tokens.index('-', at) if '-' in tokens[at:] else len(tokens)
  for token in tokens[at:end]:
    parse_attribute(where, token, field)
  field.doc = ' '.join(tokens[end + 1:])
  if field.inline:
    if field.name != '-' or field.shape != 'one' or field.pointer:
      raise KindsError(where, 'an inline field is called "-" and is a plain object')
    field.name = ''
  elif not re.fullmatch(r'\$?[A-Za-z][A-Za-z0-9-]*', field.name):
    raise KindsError(where, 'bad field name "%s"' % field.name)
  if bool(field.keys) != (field.list_type == 'map'):
    raise KindsError(where, 'list=map and key= go together')
  if field.flags & {'PATCH_MERGE'} and field.shape != 'list' and field.patch_key:
    raise KindsError(where, 'a patch merge key wants a list')
  return field


def parse_type(where, group, is_kind, text):
  head, colon, doc = text.partition(':')
  tokens = head.split()
  if not colon or not tokens or not re.fullmatch(r'[A-Z][A-Za-z0-9]*', tokens[0]):
    raise KindsError(where, 'a type is "type NAME ATTRIBUTES: TEXT"')
  result = Type(where, group, tokens[0])
  result.doc = doc.strip()
  for token in tokens[1:]:
    key, _, value = token.partition('=')
    if key == 'rules' and re.fullmatch(r'[a-z0-9_]+', value):
      result.rules = value
    elif key == 'c' and re.fullmatch(r'[A-Z][A-Za-z0-9]*', value):
      result.c_name = value
    elif token == 'map=atomic':
      result.map_atomic = True
    else:
      raise KindsError(where, 'unknown attribute "%s"' % token)
  if is_kind:
    result.fields.append(type_meta_field(where))
  return result


def type_meta_field(where):
  field = Field(where)
  field.base, field.inline = 'TypeMeta', True
  field.doc = 'The version and kind of the object.'
  return field


def parse_resource(where, group, text):
  tokens = text.split()
  if len(tokens) < 2:
    raise KindsError(where, 'a resource is "resource PLURAL KIND ATTRIBUTES"')
  result = Resource(where, group, tokens[0], tokens[1])
  scope = None
  for token in tokens[2:]:
    key, _, value = token.partition('=')
    if token in ('virtual', 'status', 'generation', 'idle'):
      setattr(result, token, True)
    elif token == 'generation=annotations':
      result.generation = result.generation_annotations = True
    elif token in ('scope=namespaced', 'scope=cluster'):
      scope = value
    elif key == 'singular' and value:
      result.singular = value
    elif key in ('short', 'categories') and value:
      setattr(result, key, value.split(','))
    elif key == 'verbs' and value:
      result.verbs = parse_verbs(where, value)
    elif key == 'stored-as' and re.fullmatch(r'[a-z0-9.]*/v[a-z0-9]+', value):
      result.stored_as = tuple(value.split('/'))
    elif key == 'rules' and re.fullmatch(r'[a-z0-9_]+', value):
      result.rules = value
    else:
      raise KindsError(where, 'unknown attribute "%s"' % token)
  if scope is None:
    raise KindsError(where, 'scope=namespaced or scope=cluster is missing')
  result.namespaced = scope == 'namespaced'
  return result


def parse_verbs(where, text):
  verbs = text.split(',')
  for verb in verbs:
    if verb not in VERBS:
      raise KindsError(where, 'unknown verb "%s"' % verb)
  return verbs


def parse_subresource(where, resource, tokens):
  if len(tokens) < 2:
    raise KindsError(where, 'a subresource is "subresource NAME VERBS [GROUP/VERSION] [KIND] [query] [PATHS]"')
  result = Subresource()
  result.where, result.name, result.verbs = where, tokens[0], parse_verbs(where, tokens[1])
  result.group_version, result.kind, result.query = None, resource.kind, False
  result.scale = {}
  for token in tokens[2:]:
    path = re.fullmatch(r'(replicas|status-replicas|selector)=\.([A-Za-z0-9.]+)', token)
    if token == 'query':
      result.query = True
    elif path:
      result.scale[path[1]] = path[2]
    elif '/' in token:
      result.group_version = tuple(token.split('/', 1))
    elif re.fullmatch(r'[A-Z][A-Za-z0-9]*', token):
      result.kind = token
    else:
      raise KindsError(where, 'unknown attribute "%s"' % token)
  if result.scale and not {'replicas', 'status-replicas'} <= set(result.scale):
    raise KindsError(where, 'a scale wants replicas=.PATH and status-replicas=.PATH')
  result.type = None
  resource.subresources.append(result)


def parse_column(where, resource, text):
  match = re.fullmatch(r'("[^"]+"|\S+)\s+(\S+)((?:\s+\S+)*?)\s+-\s+(.*?)\s+=\s+(\S+)', text)
  if not match:
    raise KindsError(where, 'a column is "column NAME TYPE [wide] [name] - TEXT = PATH-or-FUNCTION()"')
  column = Column()
  column.name, column.kind, column.doc = match[1].strip('"'), match[2], match[4]
  column.priority, column.format = 0, ''
  if column.kind not in COLUMN_KINDS:
    raise KindsError(where, 'unknown column type "%s"' % column.kind)
  for token in match[3].split():
    if token == 'wide':
      column.priority = 1
    elif token == 'name':
      column.format = 'name'
    else:
      raise KindsError(where, 'unknown attribute "%s"' % token)
  call = re.fullmatch(r'([a-z0-9_]+)\((\.[A-Za-z0-9.]+)?\)', match[5])
  path = re.fullmatch(r'\.[A-Za-z0-9.]+', match[5])
  if not call and not path:
    raise KindsError(where, 'a cell is .path, function() or function(.path), not "%s"' % match[5])
  column.function = call[1] if call else None
  column.path = (call[2] or '')[1:] if call else match[5][1:]
  resource.columns.append(column)


def parse_file(path, text):
  """Returns the Group that the file describes."""
  group = None
  holder = None    # the Type or Resource that indented lines belong to
  field = None     # the Field whose text deeper lines continue
  depth = 0
  for number, line in enumerate(text.split('\n'), 1):
    where = '%s:%d' % (path, number)
    if '\t' in line:
      raise KindsError(where, 'tabs are not allowed')
    stripped = line.strip()
    if not stripped or stripped.startswith('#'):
      continue
    indent = len(line) - len(line.lstrip())
    word, _, rest = stripped.partition(' ')
    if indent == 0:
      holder = field = None
      if word == 'group':
        match = re.fullmatch(r'([a-z0-9]+)\s+("[a-z0-9.]*"|[a-z0-9.]+)\s+(v[a-z0-9]+)',
                             rest.split('#')[0].strip())
        if group or not match:
          raise KindsError(where, 'one line \'group NAME "API GROUP" VERSION\' begins a file')
        group = Group(where, match[1], match[2].strip('"'), match[3], path)
      elif group is None:
        raise KindsError(where, 'the file does not begin with a group')
      elif word == 'package':
        group.package = rest.split('#')[0].strip()
      elif word in ('type', 'kind'):
        holder = parse_type(where, group, word == 'kind', rest)
        group.types.append(holder)
      elif word == 'resource':
        holder = parse_resource(where, group, rest)
        group.resources.append(holder)
      else:
        raise KindsError(where, 'unknown keyword "%s"' % word)
    elif holder is None:
      raise KindsError(where, 'an indented line that belongs to nothing')
    elif isinstance(holder, Type):
      if field and indent > depth:
        field.doc = (field.doc + ' ' + stripped).strip()
      elif re.match(r'(\d+|-)\s', stripped):
        field, depth = parse_field(where, stripped), indent
        holder.fields.append(field)
      elif field is None:
        holder.doc = (holder.doc + ' ' + stripped).strip()
      else:
        raise KindsError(where, 'a field is NUMBER NAME TYPE ATTRIBUTES - TEXT')
    elif word == 'fields':
      for word in rest.split():  # NAME or NAME=PATH
        name, _, path = word.partition('=')
        holder.fields.append(name)
        holder.field_paths.append(path or name)
    elif word == 'subresource':
      parse_subresource(where, holder, rest.split())
    elif word == 'column':
      parse_column(where, holder, rest.strip())
    else:
      raise KindsError(where, 'unknown keyword "%s"' % word)
  if group is None or not group.package:
    raise KindsError('%s:1' % path, 'the file wants a group and a package')
  return group


class Model:
  """All groups, with names resolved and checked."""

  def __init__(self, groups):
    self.groups = groups
    self.types = []
    self.resources = []
    for group in groups:
      add_lists(group)
      self.types += group.types
      self.resources += sorted(group.resources, key=lambda r: r.plural)
    self.by_name = {}
    for kind in self.types:
      self.by_name.setdefault(kind.name, []).append(kind)
    self.check_names()
    for kind in self.types:
      for field in kind.fields:
        self.resolve_field(kind, field)
      self.check_type(kind)
    for resource in self.resources:
      self.resolve_resource(resource)
    self.rules = self.collect_rules()
    self.ordered = self.order()

  def check_names(self):
    seen, c_names = {}, {}
    for kind in self.types:
      key = kind.openapi_name
      if key in seen:
        raise KindsError(kind.where, 'type %s is declared at %s already' % (kind.name, seen[key]))
      seen[key] = kind.where
      if kind.c_name in c_names:
        raise KindsError(kind.where, 'C name %s is taken by %s; give another with c=' %
                         (kind.c_name, c_names[kind.c_name]))
      c_names[kind.c_name] = kind.where

  def find_type(self, group, name, where):
    prefix, dot, last = name.rpartition('.')
    found = self.by_name.get(last, [])
    if dot:
      found = [t for t in found if '%s-%s' % (t.group.name, t.group.version) == prefix]
    else:
      found = [t for t in found if t.group is group] or found
    if not found:
      raise KindsError(where, 'unknown type "%s"' % name)
    if len(found) > 1:
      raise KindsError(where, 'type "%s" could be any of %s: write GROUP-VERSION.TYPE' %
                       (name, ', '.join(t.openapi_name for t in found)))
    return found[0]

  def resolve_field(self, kind, field):
    if field.base not in SCALARS:
      field.type = self.find_type(kind.group, field.base, field.where)
    elif field.inline:
      raise KindsError(field.where, 'an inline field wants a type of fields')
    if field.of:
      field.object_type = self.find_type(kind.group, field.of, field.where)
    field.c_name = snake(field.name)
    if field.list_type == 'map':
      names = {f.name: f for f in flat_fields(self, field.type)} if field.type else {}
      for key in field.keys:
        if key not in names:
          raise KindsError(field.where, '%s has no field "%s" to be a key' % (field.base, key))
    if field.patch_key and field.type:
      if field.patch_key not in {f.name for f in flat_fields(self, field.type)}:
        raise KindsError(field.where, '%s has no field "%s" to be a patch merge key' %
                         (field.base, field.patch_key))
    if field.type and field.shape == 'one' and not field.pointer and not field.inline \
        and '-OMIT' not in field.flags:
      field.flags.add('ALWAYS')  # Go always writes an embedded struct
    field.flags.discard('-OMIT')
    if field.enum and field.base != 'string':
      raise KindsError(field.where, 'enum wants a string')
    if field.format and field.base != 'string':
      raise KindsError(field.where, 'format wants a string')
    if (field.minimum is not None or field.maximum is not None) and \
        field.base not in ('int32', 'int64'):
      raise KindsError(field.where, 'range wants an integer')

  def check_type(self, kind):
    names, numbers = set(), set()
    for field in flat_fields(self, kind):
      if field.name in names:
        raise KindsError(field.where, '%s has two fields "%s"' % (kind.name, field.name))
      names.add(field.name)
    for field in kind.fields:
      if field.number and field.number in numbers:
        raise KindsError(field.where, '%s has number %d twice' % (kind.name, field.number))
      numbers.add(field.number)

  def resolve_resource(self, resource):
    resource.type = self.find_type(resource.group, resource.kind, resource.where)
    for sub in resource.subresources:
      group = resource.group
      if sub.group_version:
        groups = [g for g in self.groups if (g.group, g.version) == sub.group_version]
        if not groups:
          raise KindsError(sub.where, 'unknown group %s/%s' % sub.group_version)
        group = groups[0]
      found = self.find_type(group, sub.kind, sub.where)
      if found.group is not group:
        raise KindsError(sub.where, 'group %s has no type "%s"' % (group.name, sub.kind))
      sub.type = None if sub.query else found
    scales = [path for sub in resource.subresources for path in sub.scale.values()]
    for path in resource.field_paths + scales + [c.path for c in resource.columns if c.path]:
      self.check_path(resource, path)

  def check_path(self, resource, path):
    kind = resource.type
    for step in path.split('.'):
      field = None
      if kind:
        field = next((f for f in flat_fields(self, kind) if f.name == step), None)
      if not field:
        raise KindsError(resource.where, '%s has no field "%s" (in "%s")' %
                         (resource.kind, step, path))
      kind = field.type

  def collect_rules(self):
    rules = {}
    for holder in self.types + self.resources:
      if holder.rules:
        c_type = 'TypeRules' if isinstance(holder, Type) else 'ResourceRules'
        if rules.setdefault(holder.rules, c_type) != c_type:
          raise KindsError(holder.where, 'rules=%s names rules of a type and of a resource' %
                           holder.rules)
    return rules

  def order(self):
    """Types so that whatever is embedded comes before what embeds it."""
    done, result = {}, []

    def visit(kind, where):
      if done.get(kind) == 'open':
        raise KindsError(where, '%s contains itself; make it a pointer or a list' % kind.name)
      if kind in done:
        return
      done[kind] = 'open'
      for field in kind.fields:
        if field.type and field.shape == 'one' and not field.pointer:
          visit(field.type, field.where)
      done[kind] = 'done'
      result.append(kind)

    for kind in self.types:
      visit(kind, kind.where)
    return result


def flat_fields(model, kind):
  """The fields of a type with those of its inline types in place."""
  result = []
  for field in kind.fields:
    if field.inline:
      inner = field.type or model.find_type(kind.group, field.base, field.where)
      result += flat_fields(model, inner)
    else:
      result.append(field)
  return result


def add_lists(group):
  """PodList and its like: every listable resource has one, unless the file declares it."""
  have = {t.name for t in group.types}
  for resource in group.resources:
    name = resource.kind + 'List'
    if 'list' not in resource.verbs or name in have:
      continue
    result = Type(resource.where, group, name)
    result.doc = 'A list of objects of kind %s.' % resource.kind
    kind = [t for t in group.types if t.name == resource.kind]
    if kind and kind[0].c_name != resource.kind:
      result.c_name = kind[0].c_name + 'List'
    metadata = Field(resource.where)
    metadata.number, metadata.name, metadata.base = 1, 'metadata', 'ListMeta'
    metadata.doc = 'Version of the list, and where the next page begins.'
    items = Field(resource.where)
    items.number, items.name, items.base, items.shape = 2, 'items', resource.kind, 'list'
    items.flags.update(('ALWAYS', 'SCHEMA_REQUIRED'))
    items.doc = 'The objects.'
    result.fields = [type_meta_field(resource.where), metadata, items]
    group.types.append(result)


# --- output ---

def c_string(text):
  return '"%s"' % text.replace('\\', '\\\\').replace('"', '\\"')


def c_str(text):
  return 'S(%s)' % c_string(text)


BANNER = '// Made by tools/kinds.py from kinds/*.kinds. Do not edit.\n'


def member(field):
  """One C member, as src/schema/typed.h says."""
  element = field.type.c_name if field.type else C_TYPES[field.base]
  gap = '' if element.endswith('*') else ' '
  if field.shape == 'list':
    return 'LIST(%s) %s;' % (element, field.c_name)
  if field.shape == 'map':
    if field.base in ('string', 'quantity', 'bytes', 'duration'):
      return 'StrMap %s;' % field.c_name
    return 'MAP(%s) %s;' % (element, field.c_name)
  if field.pointer and field.type:
    return '%s *%s;' % (element, field.c_name)
  if field.pointer and field.base not in SELF_ABSENT:
    return 'const %s *%s;' % (element, field.c_name)
  return '%s%s%s;' % (element, gap, field.c_name)


def write_members(model, kind, out, indent):
  for field in kind.fields:
    if field.inline:
      # An anonymous struct laid out as the type, so that the type's offsets hold in it.
      out.append('%sstruct { // %s' % (indent, field.type.c_name))
      write_members(model, field.type, out, indent + '    ')
      out.append('%s};' % indent)
    else:
      out.append(indent + member(field))


def first_member(kind):
  field = kind.fields[0]
  return first_member(field.type) if field.inline else field.c_name


def accessor(resource):
  group = resource.group
  return 'kinds_resource_%s_%s_%s' % (group.name, group.version, resource.plural)


def write_header(model):
  out = [BANNER.rstrip(), '#pragma once', '''//
// The C structs of every API type, in the shape that src/schema/typed.h describes, and accessors by
// which code names a table: kinds_type_Pod() is the Type of `struct Pod`, kinds_resource_core_v1_pods()
// the Resource `pods` of kinds/core-v1.kinds. Both cost one address; what nobody calls is left out by
// the linker. A struct comes from typed_from_value(arena, kinds_type_Pod(), value, &pod) or
// typed_from_json. An inline type (TypeMeta in every kind, VolumeSource in Volume) is an anonymous
// struct: pod->api_version, volume->host_path.
''', '#include "schema/typed.h"', '']
  for kind in model.types:
    out.append('typedef struct %s %s;' % (kind.c_name, kind.c_name))
  out.append('')
  for kind in model.ordered:
    out.append('struct %s { // %s' % (kind.c_name, kind.openapi_name))
    write_members(model, kind, out, '    ')
    if not kind.fields:
      out.append('    char nothing; // an object without fields')
    out.append('};')
  out.append('')
  for kind in model.types:
    out.append('const Type *kinds_type_%s(void) __attribute__((const));' % kind.c_name)
  out.append('')
  for resource in model.resources:
    out.append('const Resource *%s(void) __attribute__((const));' % accessor(resource))
  return '\n'.join(out) + '\n'


def write_rules(model):
  out = [BANNER.rstrip(), '#pragma once', '''//
// The rules that kinds/*.kinds name (rules=NAME) and that C files in kinds/ define. The tables hold
// their addresses, so these are the one place where the tree declares extern constants.
''', '#include "schema/check.h"', '']
  for name, c_type in sorted(model.rules.items()):
    out.append('extern const %s %s_rules;' % (c_type, name))
  return '\n'.join(out) + '\n'


class Pool:
  """Arrays of strings that several entries share."""

  def __init__(self):
    self.names = {}

  def name(self, strings):
    if not strings:
      return 'NULL'
    return self.names.setdefault(tuple(strings), 'strings_%d' % len(self.names))

  def lines(self):
    return ['static const Str %s[] = {%s};' % (name, ', '.join(map(c_str, strings)))
            for strings, name in self.names.items()]


def field_entry(model, kind, field, pool, index):
  parts = []
  if field.name:
    parts.append('.name = %s' % c_str(field.name))
  parts.append('.doc = %s' % c_string(field.doc))
  if field.type:
    parts.append('.type = &types[%d]' % index[field.type])
  elif field.object_type:
    parts.append('.type = &types[%d]' % index[field.object_type])
  kind_name = 'FIELD_OBJECT' if field.type else SCALARS[field.base]
  parts.append('.kind = %s' % kind_name)
  if field.shape != 'one':
    parts.append('.shape = SHAPE_%s' % field.shape.upper())
  if field.list_type != 'atomic':
    parts.append('.list_type = LIST_%s' % field.list_type.upper())
  if field.format:
    parts.append('.format = FORMAT_%s' % field.format.upper().replace('-', '_'))
  flags = sorted(field.flags)
  if field.pointer:
    flags.append('POINTER')
  if field.inline:
    flags.append('INLINE')
  if flags:
    parts.append('.flags = %s' % ' | '.join('FIELD_' + f for f in flags))
  if field.number:
    parts.append('.number = %d' % field.number)
  name = first_member(field.type) if field.inline else field.c_name
  parts.append('.offset = offsetof(%s, %s)' % (kind.c_name, name))
  if field.keys:
    parts.append('.keys = %s, .n_keys = %d' % (pool.name(field.keys), len(field.keys)))
  if field.enum:
    parts.append('.enum_values = %s, .n_enum = %d' % (pool.name(field.enum), len(field.enum)))
  if field.patch_key:
    parts.append('.patch_key = %s' % c_str(field.patch_key))
  if field.default is not None:
    parts.append('.default_json = %s' % c_str(field.default))
  parts.append('.minimum = %s' % ('INT64_MIN' if field.minimum is None else field.minimum))
  parts.append('.maximum = %s' % ('INT64_MAX' if field.maximum is None else field.maximum))
  if field.max_length:
    parts.append('.max_length = %d' % field.max_length)
  return '    {%s},' % ', '.join(parts)


def type_entry(kind):
  parts = ['.name = %s' % c_str(kind.name), '.openapi_name = %s' % c_str(kind.openapi_name),
           '.doc = %s' % c_string(kind.doc)]
  if kind.fields:
    parts.append('.fields = fields_%s, .n_fields = %d' % (kind.c_name, len(kind.fields)))
  if kind.map_atomic:
    parts.append('.map_atomic = true')
  parts.append('.struct_size = sizeof(%s)' % kind.c_name)
  if kind.rules:
    parts.append('.rules = &%s_rules' % kind.rules)
  return '    {%s},' % ', '.join(parts)


def verb_bits(verbs):
  if set(verbs) == set(VERBS):
    return 'VERB_ALL'
  return ' | '.join('VERB_' + v.upper() for v in VERBS if v in verbs)


def column_entry(column):
  parts = ['.name = %s' % c_string(column.name), '.doc = %s' % c_string(column.doc),
           '.format = %s' % c_string(column.format), '.kind = COLUMN_%s' % column.kind.upper()]
  if column.priority:
    parts.append('.priority = %d' % column.priority)
  if column.path:
    parts.append('.path = %s' % c_string(column.path))
  if column.function:
    parts.append('.function = %s' % c_string(column.function))
  return '    {%s},' % ', '.join(parts)


def subresource_entry(sub, index):
  group, version = sub.group_version or ('', '')
  parts = ['.name = %s' % c_str(sub.name), '.kind = %s' % c_str(sub.kind),
           '.group = %s' % c_str(group), '.version = %s' % c_str(version)]
  if sub.type:
    parts.append('.type = &types[%d]' % index[sub.type])
  parts.append('.verbs = %s' % verb_bits(sub.verbs))
  if sub.scale:
    parts.append('.scale = &(const ScalePaths){%s}' % ', '.join(
      c_str(sub.scale.get(name, '')) for name in ('replicas', 'status-replicas', 'selector')))
  return '    {%s},' % ', '.join(parts)


def resource_entry(resource, pool, index, number):
  group = resource.group
  storage_group, storage_version = resource.stored_as or ('', '')
  list_kind = resource.kind + 'List' if 'list' in resource.verbs else ''
  parts = ['.group = %s' % c_str(group.group), '.version = %s' % c_str(group.version),
           '.plural = %s' % c_str(resource.plural), '.singular = %s' % c_str(resource.singular),
           '.kind = %s' % c_str(resource.kind), '.list_kind = %s' % c_str(list_kind),
           '.type = &types[%d]' % index[resource.type]]
  for name, count, strings in (('short_names', 'n_short', resource.short),
                               ('categories', 'n_categories', resource.categories),
                               ('fields', 'n_selectable', resource.fields)):
    if strings:
      parts.append('.%s = %s, .%s = %d' % (name, pool.name(strings), count, len(strings)))
  if resource.field_paths != resource.fields:
    parts.append('.field_paths = %s' % pool.name(resource.field_paths))
  if resource.columns:
    parts.append('.columns = columns_%d, .n_columns = %d' % (number, len(resource.columns)))
  if resource.subresources:
    parts.append('.subresources = subresources_%d, .n_subresources = %d' %
                 (number, len(resource.subresources)))
  parts.append('.verbs = %s' % verb_bits(resource.verbs))
  for name, value in (('namespaced', resource.namespaced), ('stored', not resource.virtual),
                      ('status_split', resource.status), ('generation', resource.generation),
                      ('generation_annotations', resource.generation_annotations),
                      ('idle', resource.idle)):
    if value:
      parts.append('.%s = true' % name)
  parts.append('.storage_group = %s, .storage_version = %s' %
               (c_str(storage_group), c_str(storage_version)))
  if resource.rules:
    parts.append('.rules = &%s_rules' % resource.rules)
  return '    {%s},' % ', '.join(parts)


LOOKUPS = '''
const Type *kinds_type_at(size_t index) { return index < N_TYPES ? &types[index] : NULL; }

const Resource *kinds_resource_at(size_t index) {
    return index < N_RESOURCES ? &resources[index] : NULL;
}

const Type *kinds_type(Str openapi_name) {
    for (size_t i = 0; i < N_TYPES; i++)
        if (str_eq(types[i].openapi_name, openapi_name))
            return &types[i];
    return NULL;
}

const Resource *kinds_resource(Str group, Str version, Str plural) {
    for (size_t i = 0; i < N_RESOURCES; i++)
        if (str_eq(resources[i].group, group) && str_eq(resources[i].version, version) &&
            str_eq(resources[i].plural, plural))
            return &resources[i];
    return NULL;
}

const Resource *kinds_resource_of_kind(Str group, Str version, Str kind) {
    for (size_t i = 0; i < N_RESOURCES; i++)
        if (str_eq(resources[i].group, group) && str_eq(resources[i].version, version) &&
            str_eq(resources[i].kind, kind))
            return &resources[i];
    return NULL;
}
'''


def write_source(model):
  index = {kind: i for i, kind in enumerate(model.types)}
  pool, body = Pool(), []
  for kind in model.types:
    if kind.fields:
      body.append('static const Field fields_%s[] = {' % kind.c_name)
      body += [field_entry(model, kind, f, pool, index) for f in kind.fields]
      body.append('};')
  body.append('static const Type types[N_TYPES] = {')
  body += [type_entry(kind) for kind in model.types]
  body.append('};')
  for number, resource in enumerate(model.resources):
    if resource.columns:
      body.append('static const Column columns_%d[] = {' % number)
      body += [column_entry(c) for c in resource.columns]
      body.append('};')
    if resource.subresources:
      body.append('static const Subresource subresources_%d[] = {' % number)
      body += [subresource_entry(s, index) for s in resource.subresources]
      body.append('};')
  body.append('static const Resource resources[N_RESOURCES] = {')
  body += [resource_entry(r, pool, index, i) for i, r in enumerate(model.resources)]
  body.append('};')
  for kind in model.types:
    body.append('const Type *kinds_type_%s(void) { return &types[%d]; }' %
                (kind.c_name, index[kind]))
  for i, resource in enumerate(model.resources):
    body.append('const Resource *%s(void) { return &resources[%d]; }' % (accessor(resource), i))
  head = [BANNER.rstrip(), '#include "kinds/kinds.h"', '#include "kinds/rules.h"', '',
          '#define S(literal) {"" literal, sizeof(literal) - 1}',
          'enum { N_TYPES = %d, N_RESOURCES = %d };' % (len(model.types), len(model.resources)),
          'static const Type types[N_TYPES];', '']
  return '\n'.join(head + pool.lines() + body) + LOOKUPS


def load(paths):
  groups = []
  for path in paths:
    with open(path, encoding='utf-8') as file:
      groups.append(parse_file(path, file.read()))
  return Model(groups)


def main(arguments):
  out = None
  if arguments[:1] == ['--out'] and len(arguments) > 2:
    out, paths = arguments[1], arguments[2:]
  elif arguments[:1] == ['--check'] and len(arguments) > 1:
    paths = arguments[1:]
  else:
    sys.exit(__doc__)
  try:
    model = load(paths)
    files = {'kinds.h': write_header(model), 'kinds.c': write_source(model),
             'rules.h': write_rules(model)}
  except (KindsError, OSError, UnicodeDecodeError) as error:
    print(error, file=sys.stderr)
    sys.exit(1)
  if out:
    os.makedirs(out, exist_ok=True)
    for name, text in files.items():
      with open(os.path.join(out, name), 'w', encoding='utf-8') as file:
        file.write(text)


if __name__ == '__main__':
  main(sys.argv[1:])
