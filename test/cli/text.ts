import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import t from 'tap'
import { encode, type Packet } from 'dns-packet'
import { fc } from '../fixture/property.ts'
import { unifiedDiff } from '../../src/cli/diff.ts'
import { rdataText, readMessage, showMessage } from '../../src/cli/dns-text.ts'
import { reverseName } from '../../src/base/ip.ts'
import { linkTarget, readText, replaceFile } from '../../src/cli/replace-file.ts'
import { resolvConf, searchList } from '../../src/cli/resolvconf/text.ts'
import { cell, pairs, showBytes, showDuration, table } from '../../src/cli/table.ts'
import { putOpt } from '../../src/wire/edns.ts'

const errno = (code: string) => Object.assign(new Error(code), { code })

t.test('a table is aligned, numbers to the right', async t => {
  t.equal(
    table([
      { name: 'a.example', ttl: 5, ok: true },
      { name: 'b', ttl: 3600, ok: false },
    ]),
    ['NAME        TTL  OK', 'a.example     5  yes', 'b          3600  no', ''].join('\n'),
  )
  t.equal(table([]), '')
  t.equal(table([{ a: undefined, b: '', c: [] }]), 'A  B  C\n-  -  -\n')
  t.equal(
    pairs([
      ['node', 'x'],
      ['version', 1],
    ]),
    'node     x\nversion  1\n',
  )
})

t.test('a cell is one line that no terminal obeys', async t => {
  for (const [value, text] of [
    [undefined, '-'],
    [null, '-'],
    ['', '-'],
    [0, '0'],
    [1.23456, '1.235'],
    [true, 'yes'],
    [['a', 'b'], 'a b'],
    [{ a: 1 }, '{"a":1}'],
    ['\u001b[2Jx\n', '\\u001b[2Jx\\u000a'],
    ['\u202eevil', '\\u202eevil'],
  ] as const) {
    t.equal(cell(value), text)
  }
})

t.test('durations and sizes are short', async t => {
  for (const [ms, text] of [
    [0, '0 ms'],
    [250, '250 ms'],
    [5000, '5s'],
    [65_000, '1m 5s'],
    [3_600_000, '1h'],
    [90_061_000, '1d 1h'],
    [NaN, '-'],
  ] as const) {
    t.equal(showDuration(ms), text)
  }
  for (const [bytes, text] of [
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.0 KiB'],
    [33_554_432, '32.0 MiB'],
    [5 * 2 ** 30, '5.0 GiB'],
    [NaN, '-'],
  ] as const) {
    t.equal(showBytes(bytes), text)
  }
})

t.test('a diff shows what changed and its surroundings', async t => {
  t.equal(unifiedDiff('f', 'a\n', 'a\n'), '')
  t.equal(unifiedDiff('f', '', 'a\nb\n'), '--- f\n+++ f\n@@ -0,0 +1,2 @@\n+a\n+b\n')
  t.equal(unifiedDiff('f', 'a\nb\n', 'a\nc\n'), '--- f\n+++ f\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n')
  const long = Array.from({ length: 20 }, (_, i) => `line ${i}`)
  const hunks = unifiedDiff('f', long.join('\n'), long.with(2, 'x').with(17, 'y').join('\n'))
  t.match(hunks, /^@@ -1,6 \+1,6 @@$/m)
  t.match(hunks, /^@@ -15,6 \+15,6 @@$/m)
  t.ok(unifiedDiff('f', 'a\n'.repeat(5000), 'b\n').length > 5000, 'a long text is replaced whole')
})

const skip = spawnSync('patch', ['--version']).status !== 0 && 'SKIPPED: patch is not installed'
t.test('a diff is what patch understands', { skip }, async t => {
  const dir = t.testdir({})
  const line = fc.constantFrom('a', 'b', 'c', 'options timeout:1')
  const text = fc.array(line, { minLength: 1, maxLength: 12 }).map(lines => `${lines.join('\n')}\n`)
  fc.assert(
    fc.property(text, text, (from, to) => {
      const diff = unifiedDiff('file', from, to)
      if (!diff) return from === to
      writeFileSync(`${dir}/file`, from)
      execFileSync('patch', ['-s', `${dir}/file`], { input: diff })
      return readFileSync(`${dir}/file`, 'utf8') === to
    }),
    { numRuns: 25 },
  )
})

t.test('a resolv.conf lists what answers, and keeps others on request', async t => {
  const old = [
    'search old.example corp.example',
    'nameserver 192.0.2.99',
    'options ndots:2 timeout:5 edns0',
    'options rotate edns0',
    'sortlist 192.0.2.0',
    '# a remark',
    'nameserver',
    '',
  ].join('\n')
  const body = (keepFrom: string, search: string[] = []) =>
    resolvConf({ nameservers: ['198.51.100.1', '198.51.100.2'], search, keepFrom })
      .split('\n')
      .filter(line => line && !line.startsWith('#'))
  t.strictSame(body(''), [
    'options timeout:1 attempts:3',
    'nameserver 198.51.100.1',
    'nameserver 198.51.100.2',
  ])
  t.strictSame(body('', ['corp.example']).at(-1), 'search corp.example')
  t.strictSame(body(old), [
    'options timeout:1 attempts:3 ndots:2 edns0 rotate',
    'nameserver 198.51.100.1',
    'nameserver 198.51.100.2',
    'search old.example corp.example',
    'sortlist 192.0.2.0',
  ])
  t.strictSame(
    body(old, ['new.example'])[3],
    'search new.example',
    'a search list of ours replaces the old one',
  )
  t.notMatch(body(old).join('\n'), /192\.0\.2\.99/, 'nameservers of others are never kept')
  const many = resolvConf({
    nameservers: ['192.0.2.1', '192.0.2.1', '192.0.2.2', '192.0.2.3', '192.0.2.4', 'bad'],
    search: [],
    keepFrom: '',
  })
  t.equal(many.match(/^nameserver /gm)?.length, 3, 'libc reads three')
  t.match(
    resolvConf({ nameservers: ['2001:db8::1'], search: [], keepFrom: '' }),
    /^nameserver 2001:db8::1$/m,
  )
  for (const nameservers of [[], ['bad']]) {
    t.throws(
      () => resolvConf({ nameservers, search: [], keepFrom: '' }),
      { code: 'ESTATE' },
      'never without a nameserver',
    )
  }
})

t.test('whatever the old file holds, the new one is a resolv.conf', async () => {
  const line = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc
      .tuple(fc.constantFrom('options', 'search', 'domain', 'sortlist', 'nameserver'), fc.string())
      .map(words => words.join(' ')),
  )
  fc.assert(
    fc.property(fc.array(line), lines => {
      const out = resolvConf({
        nameservers: ['198.51.100.1'],
        search: [],
        keepFrom: lines.join('\n'),
      }).split('\n')
      return (
        out.filter(one => one.startsWith('nameserver ')).length === 1 &&
        out.every(one =>
          /^(#.*|options .+|nameserver .+|search .+|domain .+|sortlist .+|)$/.test(one),
        )
      )
    }),
  )
})

t.test('a search list is one that resolvers take', async t => {
  t.strictSame(searchList(['Corp.Example.', 'b.example', '']), ['corp.example', 'b.example'])
  t.strictSame(searchList(['.']), ['.'])
  for (const words of [
    ['a,b'],
    ['a', 'a'],
    ['a b'],
    ['-'],
    'abcdefg'.split(''),
    [1, 2, 3, 4, 5].map(n => `${'x'.repeat(60)}.${n}`),
  ]) {
    t.throws(() => searchList(words), { code: 'EUSAGE' }, words.join(' '))
  }
})

t.test('a file is replaced whole', async t => {
  t.test('by a new file moved over it', async t => {
    const file = `${t.testdir({ file: 'old' })}/file`
    chmodSync(file, 0o640)
    linkSync(file, `${file}.second`)
    t.equal(replaceFile(file, 'new'), 'renamed')
    t.equal(readFileSync(file, 'utf8'), 'new')
    t.equal(statSync(file).mode & 0o777, 0o640, 'the mode stays')
    t.equal(readFileSync(`${file}.second`, 'utf8'), 'old', 'a reader of the old file reads on')
    t.strictSame(
      readdirSync(t.testdirName).sort(),
      ['file', 'file.second'],
      'nothing is left beside it',
    )
  })
  t.test('also when there was none, readable for all', async t => {
    const file = `${t.testdir({})}/file`
    const mask = process.umask(0o077)
    t.teardown(() => process.umask(mask))
    replaceFile(file, 'new')
    t.equal(statSync(file).mode & 0o777, 0o644)
  })
  t.test('through symlinks, which stay', async t => {
    const dir = t.testdir({ run: {} })
    mkdirSync(`${dir}/run/deep`)
    symlinkSync('run/deep', `${dir}/here`)
    symlinkSync('../stub', `${dir}/run/deep/link`)
    symlinkSync('here/link', `${dir}/file`)
    t.equal(
      linkTarget(`${dir}/file`),
      `${dir}/run/stub`,
      "'..' is meant from where the link really is",
    )
    replaceFile(`${dir}/file`, 'new')
    t.equal(readlinkSync(`${dir}/file`), 'here/link')
    t.equal(readFileSync(`${dir}/run/stub`, 'utf8'), 'new')
    symlinkSync('loop', `${dir}/loop`)
    t.throws(() => linkTarget(`${dir}/loop`), { code: 'EDATA' })
  })
  t.test('in place where nothing can be moved over it', async t => {
    const file = `${t.testdir({ file: 'a longer old text' })}/file`
    const { ino } = statSync(file)
    for (const code of ['EBUSY', 'EROFS', 'EXDEV']) {
      const rename = () => {
        throw errno(code)
      }
      t.equal(replaceFile(file, code, { rename }), 'in place')
      t.equal(readFileSync(file, 'utf8'), code)
    }
    t.equal(statSync(file).ino, ino)
    t.strictSame(readdirSync(t.testdirName), ['file'])
  })
  t.test('or not at all, and the old text is still there', async t => {
    const file = `${t.testdir({ file: 'old' })}/file`
    const rename = () => {
      throw errno('EIO')
    }
    t.throws(() => replaceFile(file, 'new', { rename }), { code: 'EDATA' })
    t.throws(() => replaceFile(file, ''), { code: 'ESTATE' }, 'never empty')
    t.equal(readFileSync(file, 'utf8'), 'old')
    t.throws(() => replaceFile(`${file}.d/none`, 'new'), { code: 'EDATA' })
    t.strictSame(readdirSync(t.testdirName), ['file'])
  })
})

t.test('reading a file that may be absent', async t => {
  const dir = t.testdir({ file: 'text', folder: {} })
  t.equal(readText(`${dir}/file`), 'text')
  t.equal(readText(`${dir}/none`), '')
  t.throws(() => readText(`${dir}/folder`), { code: 'EDATA' })
  execFileSync('mkfifo', [`${dir}/pipe`])
  t.throws(
    () => readText(`${dir}/pipe`),
    { code: 'EDATA' },
    'a pipe without a writer does not hang us',
  )
  t.ok(lstatSync(`${dir}/pipe`).isFIFO() && existsSync(`${dir}/file`))
})

/** A response by dns-packet, with our OPT at its end if `ede` is set. */
const response = (packet: Packet, ede = -1, text = ''): Buffer => {
  const wire = encode({ type: 'response', id: 0x1234, ...packet })
  if (ede < 0) return wire
  const out = Buffer.alloc(wire.length + 64)
  wire.copy(out)
  out.writeUInt16BE(out.readUInt16BE(10) + 1, 10)
  return out.subarray(0, putOpt(out, wire.length, true, 0, ede, Buffer.from(text)))
}

t.test('a message shows in zone-file form', async t => {
  const wire = response(
    {
      flags: 0x0580,
      questions: [{ name: 'web.mesos', type: 'A' }],
      answers: [
        { name: 'web.mesos', type: 'CNAME', ttl: 60, data: 'a.mesos' },
        { name: 'a.mesos', type: 'A', ttl: 5, data: '192.0.2.1' },
        { name: 'a.mesos', type: 'AAAA', ttl: 5, data: '2001:db8::1' },
        {
          name: 'a.mesos',
          type: 'SRV',
          ttl: 5,
          data: { priority: 1, weight: 2, port: 31000, target: 'b.mesos' },
        },
        { name: 'a.mesos', type: 'TXT', ttl: 5, data: ['a "b"', 'c\\d\u0001'] },
        { name: 'a.mesos', type: 'MX', ttl: 5, data: { preference: 10, exchange: 'mx.mesos' } },
      ],
      authorities: [
        {
          name: 'mesos',
          type: 'SOA',
          ttl: 5,
          data: {
            mname: 'ns.mesos',
            rname: 'root.mesos',
            serial: 7,
            refresh: 60,
            retry: 180,
            expire: 86400,
            minimum: 1,
          },
        },
        { name: '.', type: 'NS', ttl: 5, data: 'ns.mesos' },
      ],
    },
    3,
    'stale \u001b[31m',
  )
  t.equal(
    showMessage(readMessage(wire)),
    `;; QUERY, NOERROR, id 4660, flags: qr aa rd ra
;; EDNS: version 0, payload 1232, do
;; EDE: 3 (Stale Answer): stale ?[31m
;; question: web.mesos. IN A

;; answer
web.mesos. 60 IN CNAME a.mesos.
a.mesos.    5 IN A     192.0.2.1
a.mesos.    5 IN AAAA  2001:db8::1
a.mesos.    5 IN SRV   1 2 31000 b.mesos.
a.mesos.    5 IN TXT   "a \\"b\\"" "c\\\\d\\001"
a.mesos.    5 IN MX    10 mx.mesos.

;; authority
mesos. 5 IN SOA ns.mesos. root.mesos. 7 60 180 86400 1
.      5 IN NS  ns.mesos.
`,
  )
})

t.test('rdata that is not of its type shows as octets (RFC 3597)', async t => {
  for (const [type, bytes, text] of [
    [1, [192, 0, 2, 1], '192.0.2.1'],
    [1, [192, 0, 2], '\\# 3 c00002'],
    [28, Array(16).fill(0), '::'],
    [65, [0, 1, 0], '\\# 3 000100'],
    [5, [1, 97, 0], 'a.'],
    [5, [1, 97, 0, 9], '\\# 4 01610009'],
    [5, [0xc0, 0xff], '\\# 2 c0ff'],
    [16, [5, 97], '\\# 2 0561'],
    [33, [0, 0], '\\# 2 0000'],
    [99, [], '\\# 0'],
  ] as [number, number[], string][]) {
    t.equal(rdataText(Buffer.from(bytes), type, 0, bytes.length), text)
  }
})

t.test('no bytes make the reader throw', async t => {
  t.match(readMessage(Buffer.alloc(3)), { malformed: true, bytes: 3 })
  t.match(showMessage(readMessage(Buffer.alloc(12, 255))), /malformed/)
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), bytes => showMessage(readMessage(bytes)) !== ''),
  )
  const good = response(
    {
      questions: [{ name: 'web.mesos', type: 'A' }],
      answers: [
        { name: 'web.mesos', type: 'SOA', ttl: 1, data: { mname: 'ns.mesos', rname: 'r.mesos' } },
      ],
    },
    22,
    'x',
  )
  fc.assert(
    fc.property(fc.nat(good.length - 1), fc.nat(255), fc.nat(good.length), (at, octet, end) => {
      const bytes = Buffer.from(good)
      bytes[at] = octet
      return showMessage(readMessage(bytes.subarray(0, end))) !== ''
    }),
    { numRuns: 500 },
  )
})

t.test('an address has a reverse name', async t => {
  t.equal(reverseName('192.0.2.1'), '1.2.0.192.in-addr.arpa')
  t.equal(
    reverseName('2001:db8::1'),
    '1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa',
  )
})
