/**
 * What clients get from each of the three addresses, for each kind of name, over each transport; and the conformance
 * rules of RFC 8906.
 */
import t from 'tap'
import { ask, exchange, openTcp, query, type AskOptions } from '../fixture/client.ts'
import { daemon } from '../fixture/daemon.ts'
import { dig, have } from '../fixture/dig.ts'
import { masters } from '../fixture/masters.ts'
import { optLies, pointerQueries } from '../fixture/mutate.ts'
import { A, AAAA, CNAME, SOA, SRV, TXT, data, rr } from '../fixture/rr.ts'
import { upstream } from '../fixture/upstream.ts'
import { decode, encode, framed, headerBytes } from '../fixture/wire.ts'

const soa = SOA('mesos. 60 ns1.mesos. root.ns1.mesos. 1 60 600 86400 60')
const mesos = [
  soa,
  A('web.mesos. 60 192.0.2.1'),
  AAAA('web.mesos. 60 2001:db8::1'),
  SRV('_http._tcp.web.mesos. 60 0 1 31000 web-1.mesos.'),
  SRV('_http._tcp.web.mesos. 60 0 1 31001 web-2.mesos.'),
  A('web-1.mesos. 60 192.0.2.11'),
  CNAME('alias.mesos. 60 web.mesos.'),
  ...Array.from({ length: 100 }, (_, i) => A(`many.mesos. 60 192.0.2.${i + 1}`)),
]
const outside = [
  A('www.example.org. 300 203.0.113.1'),
  TXT('www.example.org. 300 "one" "two words"'),
  rr('www.example.org. 300 TYPE65280 \\# 4 cafebabe'),
  rr('www.example.org. 300 HTTPS \\# 3 000100'),
  SOA('example.org. 300 ns.example.org. root.example.org. 1 60 600 86400 120'),
]

t.test('the whole matrix', async t => {
  const three = await masters(t, mesos)
  const external = await upstream(t, outside)
  const d = await daemon(t, { masters: three.config, upstreams: [external.name] })

  t.test('each address answers each kind of name over UDP and TCP', async t => {
    for (const at of d.addresses) {
      for (const tcp of [false, true]) {
        const from = `${at.address} ${tcp ? 'TCP' : 'UDP'}`
        const got = await ask(at, 'web.mesos', 'A', { tcp })
        t.match(
          got,
          {
            status: 'NOERROR',
            qr: true,
            rd: true,
            ra: true,
            aa: false,
            z: false,
            ad: false,
            tc: false,
          },
          `${from}: mesos`,
        )
        t.same(data(got.answers), ['192.0.2.1'])
        t.same(
          data((await ask(at, 'www.example.org', 'A', { tcp })).answers),
          ['203.0.113.1'],
          `${from}: external`,
        )
        t.match(
          await ask(at, 'ready.spartan', 'A', { tcp }),
          { status: 'NOERROR', aa: true, answers: [{ data: '127.0.0.1' }] },
          `${from}: local`,
        )
        t.equal((await ask(at, 'no.mesos', 'A', { tcp })).status, 'NXDOMAIN', from)
        t.equal((await ask(at, 'no.example.org', 'A', { tcp })).status, 'NXDOMAIN', from)
      }
    }
  })

  t.test('local names need no upstream', async t => {
    const names: readonly (readonly [string, string, string, readonly string[]])[] = [
      ['ready.spartan', 'A', 'NOERROR', ['127.0.0.1']],
      ['ready.spartan', 'ANY', 'NOERROR', ['127.0.0.1']],
      ['READY.Spartan', 'A', 'NOERROR', ['127.0.0.1']],
      ['ready.spartan', 'AAAA', 'NOERROR', []],
      ['spartan', 'A', 'NOERROR', []],
      ['no.spartan', 'A', 'NXDOMAIN', []],
      ['ns.spartan', 'A', 'NOERROR', [d.at.address]],
      ['localhost', 'A', 'NOERROR', ['127.0.0.1']],
      ['localhost', 'AAAA', 'NOERROR', ['::1']],
      ['any.thing.localhost', 'A', 'NOERROR', ['127.0.0.1']],
      ['zk-1.zk', 'A', 'NOERROR', [three.at(0).address]],
      ['zk-3.zk', 'A', 'NOERROR', [three.at(2).address]],
      ['zk-5.zk', 'A', 'NOERROR', [three.at(1).address]],
      ['zk-6.zk', 'A', 'NXDOMAIN', []],
      ['example.onion', 'A', 'NXDOMAIN', []],
      ['_dns.resolver.arpa', 'SVCB', 'NOERROR', []],
      ['_srpl-tls._tcp.default.service.arpa', 'SRV', 'NXDOMAIN', []],
      ['host.test', 'A', 'NXDOMAIN', []],
      ['a.invalid', 'A', 'NXDOMAIN', []],
      ['1.0.0.127.in-addr.arpa', 'PTR', 'NOERROR', ['localhost']],
      ['5.1.168.192.in-addr.arpa', 'PTR', 'NXDOMAIN', []],
      ['thisdcos.directory', 'SOA', 'NOERROR', ['*']],
      ['nothing.thisdcos.directory', 'A', 'NXDOMAIN', []],
    ]
    external.forget()
    three.forget()
    for (const [name, type, status, wanted] of names) {
      const got = await ask(d.at, name, type)
      t.equal(got.status, status, `${name} ${type}: ${status}`)
      if (wanted[0] !== '*')
        t.same(data(got.answers), wanted, `${name} ${type}: ${wanted.join(' ') || 'nothing'}`)
      t.ok(got.aa, `${name}: authoritative`)
      t.ok(got.ra, `${name}: RA`)
      if (got.answers.length === 0)
        t.ok(
          got.authority.some(r => r.type === 'SOA'),
          `${name} ${type}: SOA with what is not there`,
        )
    }
    const reverse = `${d.at.address.split('.').reverse().join('.')}.in-addr.arpa`
    t.same(data((await ask(d.at, reverse, 'PTR')).answers), ['ns.spartan'])
    t.equal(external.queries.length, 0, 'nothing left for the resolvers')
    t.same(three.counts(), [0, 0, 0], 'nor for the masters')
  })

  t.test('records pass through whole, of types known and unknown', async t => {
    t.same(data((await ask(d.at, 'www.example.org', 'TXT')).answers), ['"one" "two words"'])
    t.same(data((await ask(d.at, 'www.example.org', 'TYPE65280')).answers), ['\\# 4 cafebabe'])
    t.same(data((await ask(d.at, 'www.example.org', 'HTTPS')).answers), ['\\# 3 000100'])
    t.same(
      (await ask(d.at, 'alias.mesos')).answers.map(r => `${r.type} ${r.data}`),
      ['CNAME web.mesos', 'A 192.0.2.1'],
    )
    const srv = await ask(d.at, '_http._tcp.web.mesos', 'SRV')
    t.same(data(srv.answers), ['0 1 31000 web-1.mesos', '0 1 31001 web-2.mesos'])
    t.match(
      await ask(d.at, 'www.example.org', 'SRV'),
      { status: 'NOERROR', answers: [], authority: [{ type: 'SOA' }] },
      'NODATA with its SOA',
    )
  })

  t.test('the spelling of the question comes back, cached or not', async t => {
    for (const name of ['WeB.MesoS', 'wEb.mESOs', 'web.mesos']) {
      const got = await ask(d.at, name)
      t.equal(got.questions[0]?.name, name)
      t.equal(got.answers[0]?.name, name)
    }
  })

  t.test('answers rotate from asker to asker', async t => {
    const firsts = new Set<string | undefined>()
    for (let n = 0; n < 20; n++)
      firsts.add((await ask(d.at, 'many.mesos', 'A', { tcp: true })).answers[0]?.data)
    t.ok(firsts.size > 3, `${firsts.size} different first addresses in 20 answers`)
  })

  t.test(
    'size and truncation are decided per client, and the full answer is there over TCP',
    async t => {
      const room: readonly (readonly [string, AskOptions, number])[] = [
        ['no EDNS', {}, 512],
        ['size 100 counts as 512', { edns: { size: 100 } }, 512],
        ['size 1000', { edns: { size: 1000 } }, 1000],
        ['size 4096 is held to 1232', { edns: { size: 4096 } }, 1232],
        ['size 0', { edns: { size: 0 } }, 512],
      ]
      for (const [says, options, most] of room) {
        const got = await ask(d.at, 'many.mesos', 'A', options)
        t.ok(got.tc, `${says}: TC`)
        t.ok(got.raw.length <= most, `${says}: ${got.raw.length} of ${most} octets`)
        t.equal(got.edns !== undefined, options.edns !== undefined, `${says}: OPT only if asked`)
      }
      const whole = await ask(d.at, 'many.mesos', 'A', { tcp: true })
      t.notOk(whole.tc)
      t.equal(whole.answers.length, 100)
      t.ok(whole.raw.length < 2000, `compressed: ${whole.raw.length} octets`)
    },
  )

  t.test('header and EDNS follow RFC 6891 and RFC 8906', async t => {
    const cases: readonly (readonly [string, AskOptions, object])[] = [
      ['plain', {}, { status: 'NOERROR', edns: undefined, ra: true, rd: true }],
      [
        'EDNS 0',
        { edns: {} },
        { status: 'NOERROR', edns: { version: 0, size: 1232, dnssecOk: false, options: [] } },
      ],
      [
        'DO comes back',
        { edns: { dnssecOk: true } },
        { status: 'NOERROR', edns: { dnssecOk: true } },
      ],
      [
        'EDNS 1',
        { edns: { version: 1 } },
        { status: 'BADVERS', edns: { version: 0 }, answers: [] },
      ],
      ['EDNS 255', { edns: { version: 255 } }, { status: 'BADVERS', edns: { version: 0 } }],
      [
        'an unknown option is not echoed',
        { edns: { options: [{ code: 100, data: Buffer.from('cafe', 'hex') }] } },
        { status: 'NOERROR', edns: { options: [] } },
      ],
      [
        'a cookie is not echoed',
        { edns: { options: [{ code: 10, data: Buffer.alloc(8, 1) }] } },
        { status: 'NOERROR' },
      ],
      [
        'ECS is not echoed',
        { edns: { options: [{ code: 8, data: Buffer.from('00011800c00002', 'hex') }] } },
        { status: 'NOERROR', edns: { options: [] } },
      ],
      ['Z is ignored', { flags: ['rd', 'z'] }, { status: 'NOERROR', z: false }],
      [
        'AD asked, not given by one who does not validate',
        { flags: ['rd', 'ad'] },
        { status: 'NOERROR', ad: false },
      ],
      ['CD comes back', { flags: ['rd', 'cd'] }, { status: 'NOERROR', cd: true }],
      ['TC in a query is ignored', { flags: ['rd', 'tc'] }, { status: 'NOERROR', tc: false }],
      [
        'AA and RA in a query are ignored',
        { flags: ['rd', 'aa', 'ra'] },
        { status: 'NOERROR', aa: false },
      ],
      ['opcode STATUS', { opcode: 2 }, { status: 'NOTIMP', opcode: 2, ra: false }],
      ['opcode NOTIFY', { opcode: 4 }, { status: 'NOTIMP', opcode: 4 }],
      ['opcode UPDATE', { opcode: 5 }, { status: 'NOTIMP', opcode: 5 }],
      ['opcode 15', { opcode: 15 }, { status: 'NOTIMP', opcode: 15 }],
      ['class CH', { class: 'CH' }, { status: 'REFUSED' }],
      ['class HS', { class: 'HS' }, { status: 'REFUSED' }],
      ['class NONE', { class: 'NONE' }, { status: 'REFUSED' }],
      ['class ANY', { class: 'ANY' }, { status: 'REFUSED' }],
      ['RD=0, cached', { flags: [] }, { status: 'NOERROR', rd: false, ra: true }],
    ]
    for (const tcp of [false, true]) {
      for (const [says, options, wanted] of cases)
        t.match(
          await ask(d.at, 'web.mesos', 'A', { ...options, tcp }),
          wanted,
          `${says}${tcp ? ', TCP' : ''}`,
        )
    }
    t.match(
      await ask(d.at, 'nobody-asked.mesos', 'A', { flags: [], edns: {} }),
      { status: 'REFUSED', ede: [{ code: 20 }] },
      'RD=0, not cached',
    )
    t.match(
      await ask(d.at, 'ready.spartan', 'A', { flags: [] }),
      { status: 'NOERROR' },
      'RD=0, local',
    )
    t.match(await ask(d.at, 'version.bind', 'TXT', { class: 'CH' }), {
      status: 'NOERROR',
      answers: [{ class: 'CH', type: 'TXT' }],
    })
    t.match(await ask(d.at, 'id.server', 'TXT', { class: 'CH' }), {
      answers: [{ data: '"agent-under-test"' }],
    })
    t.match(
      await ask(d.at, 'web.mesos', 'ANY'),
      { status: 'NOERROR', answers: [{ type: 'HINFO' }] },
      'ANY is minimal (RFC 8482)',
    )
    for (const type of ['AXFR', 'IXFR']) {
      for (const tcp of [false, true])
        t.match(
          await ask(d.at, 'mesos', type, { tcp }),
          { status: 'REFUSED' },
          `${type}${tcp ? ', TCP' : ''}`,
        )
    }
  })

  t.test('what is broken gets FORMERR, what is no query gets nothing, and all goes on', async t => {
    const good = query('web.mesos')
    const silent: readonly (readonly [string, Buffer])[] = [
      ['a runt', good.subarray(0, 11)],
      ['one octet', good.subarray(0, 1)],
      ['a response', Buffer.from(good.map((c, i) => (i === 2 ? c | 0x80 : c)))],
    ]
    for (const [says, bytes] of silent)
      t.equal(await exchange(d.at, bytes, { timeout: 100 }), undefined, says)
    const bad: readonly (readonly [string, Buffer])[] = [
      ['no question', headerBytes(7, ['rd'], 0, 0, [0, 0, 0, 0])],
      [
        'two questions',
        Buffer.concat([
          headerBytes(7, ['rd'], 0, 0, [2, 0, 0, 0]),
          good.subarray(12),
          good.subarray(12),
        ]),
      ],
      ['a question cut short', good.subarray(0, 20)],
      ...pointerQueries().map(({ says, bytes }) => [says, bytes] as const),
      ...optLies('query')
        .slice(0, 4)
        .map(({ says, bytes }) => [says, bytes] as const),
    ]
    for (const [says, bytes] of bad) {
      for (const tcp of bytes.length > 4096 ? [true] : [false, true]) {
        const raw = await exchange(d.at, bytes, { tcp })
        t.equal(raw && decode(raw).rcode, 1, `${says}${tcp ? ', TCP' : ''}: FORMERR`)
      }
    }
    t.equal((await ask(d.at, 'web.mesos')).status, 'NOERROR')
  })

  t.test('many queries share a TCP connection and are answered as they come ready', async t => {
    three.set([
      ...mesos,
      { name: 'late.mesos', delay: 300, records: [A('late.mesos. 60 192.0.2.9')] },
    ])
    const { socket, next } = await openTcp(d.at)
    socket.write(
      Buffer.concat(
        ['late.mesos', 'web.mesos', 'www.example.org', 'ready.spartan'].map((name, id) =>
          framed(query(name, 'A', { id })),
        ),
      ),
    )
    const order: number[] = []
    for (let n = 0; n < 4; n++) order.push((await next())!.readUInt16BE(0))
    t.same(order.toSorted(), [0, 1, 2, 3])
    t.equal(order.at(-1), 0, 'the slow one last')
    const slow = framed(query('web.mesos', 'A', { id: 9 }))
    for (const octet of slow) socket.write(Buffer.of(octet))
    t.equal((await next())?.readUInt16BE(0), 9, 'octet by octet')
    socket.destroy()
    three.set(mesos)
  })

  t.test('each type has its own answer, and the whole table of them comes back', async t => {
    for (let type = 1; type <= 300; type++) {
      const got = decode(
        (await exchange(
          d.at,
          encode({
            id: 7,
            flags: ['rd'],
            questions: [{ name: 'web.mesos', type: `TYPE${type}`, class: 'IN' }],
          }),
        ))!,
      )
      const wanted = [41, 249, 250].includes(type)
        ? [1]
        : [251, 252].includes(type)
          ? [5]
          : [253, 254].includes(type)
            ? [0, 4, 5]
            : [0]
      if (!wanted.includes(got.rcode)) t.fail(`TYPE${type}: rcode ${got.rcode}`)
    }
    t.pass('types 1 to 300')
  })

  for (const program of ['dig', 'kdig'] as const) {
    t.test(`${program} gets from each address what it asks for`, async t => {
      if (!have(t, program)) return
      const cases: readonly (readonly [readonly string[], object])[] = [
        [['web.mesos', 'A'], { status: 'NOERROR', answer: [/^web\.mesos \d+ IN A 192\.0\.2\.1$/] }],
        [
          ['web.mesos', 'A', '+tcp'],
          { status: 'NOERROR', answer: [/192\.0\.2\.1$/], transport: 'TCP' },
        ],
        [['web.mesos', 'AAAA'], { answer: [/2001:db8::1$/] }],
        [['_http._tcp.web.mesos', 'SRV'], { answer: [/SRV 0 1 3100\d web-\d\.mesos$/, /SRV/] }],
        [['www.example.org', 'TXT'], { answer: [/TXT "one" "two words"$/] }],
        [['www.example.org', 'TYPE65280'], { answer: [/TYPE65280 \\# 4 CAFEBABE/i] }],
        [
          ['ready.spartan', 'ANY', program === 'dig' ? '+notcp' : '+notcp'],
          { answer: [/127\.0\.0\.1$/] },
        ],
        [['no.mesos', 'A'], { status: 'NXDOMAIN', authority: [/ SOA /] }],
        [['web.mesos', 'A', '+bufsize=512'], { status: 'NOERROR' }],
        [['many.mesos', 'A', '+bufsize=512'], { status: 'NOERROR', transport: 'TCP' }],
        [['many.mesos', 'A', '+bufsize=512', '+ignore'], { transport: 'UDP' }],
        [
          ['web.mesos', 'A', program === 'dig' ? '+ednsopt=65001:cafe' : '+ednsopt=65001:cafe'],
          { status: 'NOERROR' },
        ],
        [['CH', 'TXT', 'version.bind'], { status: 'NOERROR', answer: [/CH TXT "/] }],
        [['web.mesos', 'A', '+norecurse'], { status: 'NOERROR' }],
        [['nobody-at-all.mesos', 'A', '+norecurse'], { status: 'REFUSED' }],
        [['web.mesos', 'A', '+dnssec', '+cd'], { status: 'NOERROR', answer: [/192/] }],
        ...(program === 'dig'
          ? ([
              [['web.mesos', 'A', '+edns=1', '+noednsnegotiation'], { status: 'BADVERS' }],
              [['+header-only'], { status: 'FORMERR' }],
            ] as const)
          : ([[['web.mesos', 'A', '+edns=1'], { status: /BADVERS|BADV/ }]] as const)),
      ]
      for (const at of d.addresses) {
        for (const [args, wanted] of cases)
          t.match(
            await dig(
              at,
              [...args, '+tries=1', '+timeout=5'].filter(
                a => program === 'dig' || !a.startsWith('+tries'),
              ),
              program,
            ),
            wanted,
            `${at.address}: ${args.join(' ')}`,
          )
      }
    })
  }
  t.equal(d.stray, '', 'nothing on stderr')
})
