/** Which pages may be dropped, and that they are. */
import t from 'tap'
import { readFileSync } from 'node:fs'
import { loadLibc } from '../../../src/data/io/libc.ts'
import { cleanMappings, Program } from '../../../src/data/io/resident.ts'

const mapping = (range: string, permissions: string, file: string, dirty: number): string =>
  `${range} ${permissions} 00000000 fe:00 12345                      ${file}
Size:               1000 kB
Rss:                 900 kB
Private_Clean:       900 kB
Private_Dirty:      ${String(dirty).padStart(4)} kB
VmFlags: rd mr mw me sd
`

t.test('only what was never written and cannot be is dropped', async t => {
  const node = '/usr/bin/node'
  for (const [says, text, dropped] of [
    ['code', mapping('400000-500000', 'r-xp', node, 0), true],
    ['constants', mapping('500000-600000', 'r--p', node, 0), true],
    ['relocated constants', mapping('600000-700000', 'r--p', node, 8), false],
    ['data', mapping('700000-800000', 'rw-p', node, 0), false],
    ['code that may be written', mapping('800000-900000', 'rwxp', node, 0), false],
    ['a shared mapping', mapping('900000-a00000', 'r--s', node, 0), false],
    ['another file', mapping('a00000-b00000', 'r-xp', '/usr/lib/libc.so.6', 0), false],
    ['a file that was replaced', mapping('b00000-c00000', 'r-xp', `${node} (deleted)`, 0), false],
    ['no file', mapping('c00000-d00000', 'r-xp', '', 0), false],
  ] as const)
    t.equal(cleanMappings(text, node).length === 1, dropped, says)
  const both =
    mapping('400000-500000', 'r-xp', node, 0) +
    mapping('7f0000000000-7f0000001000', 'r--p', node, 0)
  t.strictSame(cleanMappings(both, node), [
    { at: 0x400000, length: 0x100000 },
    { at: 0x7f0000000000, length: 0x1000 },
  ])
})

const linux = process.platform === 'linux'
t.test(
  'a running process gets smaller, and goes on',
  linux ? {} : { skip: 'SKIPPED: Linux only' },
  async t => {
    const resident = (): number =>
      Number(/^RssFile:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1])
    const program = new Program(await loadLibc())
    const before = resident()
    program.release()
    const after = resident()
    t.ok(after < before - 1_000, `${before} kB before, ${after} kB after`)
    program.release()
    t.ok(resident() < before - 1_000, 'and again')
    t.equal(JSON.parse('{"a":[1]}').a[0], 1)
  },
)
