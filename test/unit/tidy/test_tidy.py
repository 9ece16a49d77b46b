#!/usr/bin/env python3
"""tools/tidy on a small tree: a clean one passes, and every kind of fault is found at its line."""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest

TIDY = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../../tools/tidy')

CLEAN = {
    'src/base/str.h': '#pragma once\nstruct Str;\n',
    'src/base/loop_uv.c': '#include <uv.h>\n#include "base/str.h"\n',
    'src/http/h1.c': '#include <string.h>\n\n#include "base/str.h"\n#include "pki/pki.h"\n',
    'src/cmd/main.c': '#include "api/api.h"\n#include "node/node.h"\n',
    # Names in comments and literals, members, and longer names are not calls.
    'src/api/verbs.c': '// never sprintf()\nconst char *a = "strcpy(";\n'
                       '/* gets(\n*/\nvoid f(void) { x->system(1); my_fork(); fork_count(2); }\n',
    'src/api/quotes.c': "char c = '\"'; // \" strcat(\nint d = '\\'';\n",
    'test/unit/http/test_h1.c': '#include <cmocka.h>\n#include "http/h1.h"\n#include "kinds/kinds.h"\n',
    'test/fuzz/corpus/h1/01': 'raw  \n\n\n',
    'doc/long.md': 'line\n' * 2000,
    'src/api/long.c': 'int x;\n' * 1000,
    'build/kinds/kinds.h': 'not looked at  \n',
}

FAULTS = [
    ('src/base/a.c', '#include "http/h1.h"\n', 1, 'base may not include http'),
    ('src/image/a.c', '\n#include "schema/value.h"\n', 2, 'image may not include schema'),
    ('src/scheduler/a.c', '#include "api/api.h"\n', 1, 'scheduler may not include api'),
    ('src/node/a.c', '#include "store/store.h"\n', 1, 'node may not include store'),
    ('test/unit/rules/test_a.c', '#include "api/api.h"\n', 1, 'rules may not include api'),
    ('src/http/a.c', '#include "h1.h"\n', 1, 'write "room/file.h"'),
    ('src/http/b.c', '#  include <uv.h>\n', 1, '<uv.h> belongs to base'),
    ('src/node/b.c', '#include <curl/curl.h>\n', 1, '<curl/curl.h> belongs to image'),
    ('src/cellar/a.c', 'int x;\n', 1, 'src/cellar is no room'),
    ('src/http/a.h', '// text\n#pragma once\n', 1, '#pragma once'),
    ('src/http/b.h', '#pragma once\n\n  extern int counter;\n', 3, 'extern variable'),
    ('src/http/c.c', 'int x;\nvoid f(void) { strcpy (a, b); }\n', 2, 'strcpy(): use'),
    ('src/http/d.c', '/*\n\n*/ int x = sprintf(a, "%d", 1);\n', 3, 'sprintf(): use'),
    ('src/http/e.c', 'pid_t p = fork();\n', 1, 'fork(): use spawn_child'),
    ('test/unit/http/test_a.c', '\nchar *p = strtok(a, b);\n', 2, 'strtok(): use str_cut'),
    ('src/http/utils.c', 'int x;\n', 1, 'no file is called utils'),
    ('src/http/f.c', 'int x; \n', 1, 'white space at the end'),
    ('src/http/g.c', 'int x;\r\n', 1, 'white space at the end'),
    ('scripts/h', '#!/bin/sh\ntrue', 2, 'no newline at the end'),
    ('src/http/i.c', 'int x;\n\n', 3, 'empty lines at the end'),
    ('src/http/j.c', 'int x;\n' * 1001, 1000, '1001 lines'),
    ('src/kinds/k.c', '// Made by tools/kinds.py from kinds/*.kinds. Do not edit.\n', 1, 'generated files'),
    ('src/http/l.o', 'x\n', 1, 'build products'),
]


class TidyTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        for path, text in CLEAN.items():
            self.write(path, text)

    def write(self, path, text):
        path = os.path.join(self.folder.name, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w', newline='') as f:
            f.write(text)

    def run_tidy(self):
        run = subprocess.run([sys.executable, TIDY, '--root', self.folder.name], capture_output=True, text=True)
        return run.returncode, run.stdout.splitlines()[:-1]

    def test_clean_tree_passes(self):
        self.assertEqual(self.run_tidy(), (0, []))

    def test_every_fault_is_found_where_it_is(self):
        for path, text, line, what in FAULTS:
            with self.subTest(what=what, path=path):
                self.write(path, text)
                code, findings = self.run_tidy()
                os.unlink(os.path.join(self.folder.name, path))
                self.assertEqual(code, 1)
                self.assertEqual(len(findings), 1, findings)
                self.assertTrue(findings[0].startswith(f'{path}:{line}: '), findings)
                self.assertIn(what, findings[0])

    @unittest.skipUnless(shutil.which('git'), 'no git')
    def test_ignored_files_are_not_looked_at_in_a_git_tree(self):
        self.write('.gitignore', '/build/\n')
        self.write('src/http/bad.c', 'int x; \n')
        subprocess.run(['git', 'init', '-q', self.folder.name], check=True)
        code, findings = self.run_tidy()
        self.assertEqual((code, len(findings)), (1, 1)) # untracked counts, ignored does not

    def test_empty_tree_is_a_mistake(self):
        with tempfile.TemporaryDirectory() as empty:
            run = subprocess.run([sys.executable, TIDY, '--root', empty], capture_output=True)
            self.assertNotEqual(run.returncode, 0)


if __name__ == '__main__':
    unittest.main()
