"""test/summary counts what the test programs say, and loses no failure."""
import json
import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))


def cmocka(passed=(), failed=(), skipped=()):
    return (''.join(f'[ RUN      ] {c}\n[       OK ] {c}\n' for c in passed),
            ''.join(f'[  FAILED  ] {c}\n' for c in failed) + ''.join(f'[  SKIPPED ] {c}\n' for c in skipped) +
            f'[  FAILED  ] {len(failed)} test(s), listed below:\n' + ''.join(f'[  FAILED  ] {c}\n' for c in failed))


class SummaryTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def summary(self, **parts):
        """parts: name -> text of a log, or list of (result, stdout, stderr) of a Meson log."""
        words = []
        for name, what in parts.items():
            path = os.path.join(self.folder.name, name + ('.log' if isinstance(what, str) else '.json'))
            with open(path, 'w', encoding='utf-8') as file:
                if isinstance(what, str):
                    file.write(what)
                else:
                    for number, (result, out, err) in enumerate(what):
                        file.write(json.dumps({'name': f'seapod:unit / room/t{number}', 'result': result, 'stdout': out, 'stderr': err}) + '\n')
            words.append(f'{name}={path}')
        run = subprocess.run([sys.executable, os.path.join(ROOT, 'test/summary'), *words], capture_output=True, text=True, check=False)
        self.output = run.stdout
        return run.returncode, run.stdout.splitlines()[-1]

    def test_cases_of_cmocka(self):
        out, err = cmocka(passed=['a', 'b'], skipped=['c'])
        self.assertEqual(self.summary(unit=[('OK', out, err)]), (0, '2 passed, 0 failed, 1 skipped'))

    def test_a_failed_case_counts_once(self):
        out, err = cmocka(passed=['a'], failed=['b'])
        self.assertEqual(self.summary(unit=[('FAIL', out, err)]), (1, '1 passed, 1 failed, 0 skipped'))
        self.assertIn('room/t0:b', self.output)

    def test_a_crash_between_cases_is_a_failure(self):
        out, _ = cmocka(passed=['a'])
        self.assertEqual(self.summary(unit=[('FAIL', out, 'AddressSanitizer')]), (1, '1 passed, 1 failed, 0 skipped'))
        self.assertEqual(self.summary(unit=[('TIMEOUT', out, '')]), (1, '1 passed, 1 failed, 0 skipped'))

    def test_cases_of_unittest(self):
        good = '....\nRan 4 tests in 0.1s\n\nOK (skipped=1)\n'
        bad = 'F..\nRan 3 tests in 0.1s\n\nFAILED (failures=1, errors=1)\n'
        self.assertEqual(self.summary(unit=[('OK', '', good)]), (0, '3 passed, 0 failed, 1 skipped'))
        self.assertEqual(self.summary(unit=[('FAIL', '', bad)]), (1, '1 passed, 2 failed, 0 skipped'))

    def test_programs_without_cases_count_as_one(self):
        rows = [('OK', 'corpus/x: 3 inputs\n', ''), ('SKIP', '', ''), ('FAIL', '', '')]
        self.assertEqual(self.summary(unit=rows), (1, '1 passed, 1 failed, 1 skipped'))

    def test_system_tests(self):
        log = ('ok   node/test_x.py:test_a (1.2 s)\nskip node/test_x.py:test_b: no kubectl 1.20\nnoise ok\n'
               'FAIL split:node/test_x.py:test_c\nTraceback: ...\n1 passed, 1 failed, 1 skipped\n')
        self.assertEqual(self.summary(system=log), (1, '1 passed, 1 failed, 1 skipped'))
        self.assertIn('skipped: system: node/test_x.py:test_b: no kubectl 1.20', self.output)
        self.assertIn('failed: system: split:node/test_x.py:test_c', self.output)

    def test_a_log_that_breaks_off_is_a_failure(self):
        self.assertEqual(self.summary(system='ok   a:b (1 s)\n'), (1, '1 passed, 1 failed, 0 skipped'))

    def test_nothing_is_a_failure(self):
        self.assertEqual(self.summary()[0], 1)
        self.assertEqual(self.summary(unit=[])[0], 1)
        self.assertEqual(self.summary(system='')[0], 1)
        run = subprocess.run([sys.executable, os.path.join(ROOT, 'test/summary'), 'unit=/nonexistent.json'], capture_output=True, check=False)
        self.assertEqual(run.returncode, 1)


if __name__ == '__main__':
    unittest.main()
