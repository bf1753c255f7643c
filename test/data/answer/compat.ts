import t, { type Test } from 'tap'
import { fc } from '../../fixture/property.ts'
import { decode } from 'dns-packet'
import { readFileSync } from 'node:fs'
import type { RRset } from '../../../src/boundary/messages.ts'
import type { MesosState, Task } from '../../../src/mesos/api/model.ts'
import { parseState } from '../../../src/mesos/api/state.ts'
import type { CompatZone } from '../../../src/data/answer/compat.ts'
import { compatReply, type CompatOptions } from '../../../src/data/answer/compat-wire.ts'
import { recordsFromState } from '../../../src/mesos/mesos-dns-names/records.ts'
import { rrsetsOf } from '../../../src/mesos/mesos-dns-names/zone.ts'
import { typeNumber } from '../../../src/wire/codes.ts'
import { nameWire } from '../../../src/wire/name.ts'

// Transcripts of the real server: every dig and raw block is repeated against ours.

const file = (name: string): string =>
  readFileSync(new URL(`../../fixture-data/mesos-dns/${name}`, import.meta.url), 'utf8')

const recorded = parseState(JSON.parse(file('mesos-master-state.json'))).state
const transcript = file('transcript.md')

const SOA = {
  mname: 'ns1.mesos',
  rname: 'root.ns1.mesos',
  ttl: 60,
  refresh: 60,
  retry: 600,
  expire: 86400,
  minimum: 60,
}
const OPTIONS: CompatOptions = { recursionAvailable: true, setTruncateBit: true }

const zoneOf = (state: MesosState, listener = '127.0.1.1'): CompatZone => {
  const records = recordsFromState(state, ['127.0.1.1:5050', '127.0.1.2:5050', '127.0.1.3:5050'], {
    domain: 'mesos',
    ipSources: ['netinfo', 'mesos', 'host'],
    enforceRfc952: false,
    compat: false,
    srvWeight: 1,
    soaMname: 'ns1.mesos',
    listenerAddresses: [listener],
  })
  const owners = new Map<string, readonly RRset[]>()
  const options = { ttl: 60 }
  for (const [name, of] of records.names) owners.set(name, rrsetsOf(of, options))
  return {
    apex: 'mesos',
    soa: SOA,
    ns: 'ns1.mesos',
    serial: 1795225537,
    find: name => owners.get(name),
  }
}

/** The recorded state with only the first `n` workers, which the recording used. */
const workers = (n: number): MesosState => {
  const tasks = new Map<string, Task>()
  let left = n
  for (const [key, task] of recorded.tasks)
    if (task.name !== 'worker' || left-- > 0) tasks.set(key, task)
  return { ...recorded, tasks }
}

/** One block of the transcript: its question and the result. */
type Block = {
  readonly command: string
  readonly server: string
  readonly name: string
  readonly type: string
  readonly options: readonly string[]
  readonly lines: readonly string[]
}

const blocksOf = (text: string): Block[] => {
  const blocks: Block[] = []
  for (const [, command = '', body = ''] of text.matchAll(/```\n\$ dig ([^\n]*)\n([^]*?)```/g)) {
    const words = command.split(' ').filter(word => word !== '')
    const server = words[0]?.slice(1) ?? ''
    const rest = words.slice(3).filter(word => !word.startsWith('+'))
    const [name = '', type = '', ...more] = rest
    const options = [...words.filter(word => word.startsWith('+')), ...more]
    blocks.push({ command, server, name, type, options, lines: body.trimEnd().split('\n') })
  }
  return blocks
}

const OPCODES: Readonly<Record<string, number>> = { STATUS: 2, NOTIFY: 4, UPDATE: 5 }

const queryOf = (name: string, type: string, options: readonly string[] = []): Buffer => {
  const has = (option: string): boolean => options.includes(option)
  const opcode = OPCODES[options.find(of => of.startsWith('+opcode='))?.slice(8) ?? ''] ?? 0
  const rd = !has('+norec') && opcode === 0
  const edns = !has('+noedns') && opcode === 0
  const head = Buffer.alloc(12)
  head.writeUInt16BE(0x1234, 0)
  head[2] = (opcode << 3) | (rd ? 1 : 0)
  head[3] = (has('+cdflag') ? 0x10 : 0) | (has('+adflag') ? 0x20 : 0) | (has('+zflag') ? 0x40 : 0)
  head.writeUInt16BE(1, 4)
  head.writeUInt16BE(edns ? 1 : 0, 10)
  const tail = Buffer.alloc(4)
  tail.writeUInt16BE(typeNumber(type) ?? 0, 0)
  tail.writeUInt16BE(has('CH') ? 3 : 1, 2)
  const opt = Buffer.from('0000291000000000000000', 'hex')
  return Buffer.concat([head, nameWire(name) ?? Buffer.alloc(0), tail, ...(edns ? [opt] : [])])
}

type Message = {
  readonly status: string
  readonly flags: string
  readonly question: string
  readonly answer: readonly string[]
  readonly authority: readonly string[]
  readonly additional: readonly string[]
  readonly size: number
}

const tidy = (line: string): string => line.trim().split(/\s+/).join(' ')

/** Messages as dig prints them. */
const printed = (lines: readonly string[]): Message[] => {
  const messages: Message[] = []
  let at: 'answer' | 'authority' | 'additional' = 'answer'
  let m: { -readonly [K in keyof Message]: Message[K] } & {
    answer: string[]
    authority: string[]
    additional: string[]
  }
  for (const line of lines) {
    const status = /HEADER.*status: (\w+)/.exec(line)?.[1]
    if (status !== undefined) {
      m = { status, flags: '', question: '', answer: [], authority: [], additional: [], size: -1 }
      messages.push(m)
      at = 'answer'
    } else if (/^;; flags: /.test(line)) m!.flags = /flags: ([a-z ]*);/.exec(line)?.[1] ?? ''
    else if (/^;; AUTHORITY/.test(line)) at = 'authority'
    else if (/^;; ADDITIONAL/.test(line)) at = 'additional'
    else if (/^;; MSG SIZE/.test(line)) m!.size = Number(line.split(' ').pop())
    else if (/^;[^;]/.test(line) || /^;\.\s/.test(line)) m!.question = tidy(line.slice(1))
    else if (/\sIN\s/.test(line) && !line.startsWith(';')) m![at].push(tidy(line))
  }
  return messages
}

/** Our message as dig would print it. */
const shown = (wire: Buffer): Message => {
  const got = decode(wire)
  const flags = wire[2]! * 256 + wire[3]!
  const bits: readonly (readonly [string, number])[] = [
    ['qr', 0x8000],
    ['aa', 0x400],
    ['tc', 0x200],
    ['rd', 0x100],
    ['ra', 0x80],
    ['ad', 0x20],
    ['cd', 0x10],
  ]
  const STATUS: readonly string[] = [
    'NOERROR',
    'FORMERR',
    'SERVFAIL',
    'NXDOMAIN',
    'NOTIMP',
    'REFUSED',
  ]
  const line = (record: { name: string; type: string; ttl?: number; data?: unknown }): string => {
    const data = record.data as Record<string, string | number> | string
    let text = String(data)
    if (typeof data === 'object') {
      text =
        record.type === 'SRV'
          ? `${data.priority} ${data.weight} ${data.port} ${data.target}.`
          : `${data.mname}. ${data.rname}. ${data.serial} ${data.refresh} ${data.retry} ${data.expire} ${data.minimum}`
    } else if (record.type === 'NS') text = `${data}.`
    return `${record.name}. ${record.ttl} IN ${record.type} ${text}`
  }
  const lines = (records: unknown): string[] => (records as Parameters<typeof line>[0][]).map(line)
  const [question] = got.questions ?? []
  return {
    status: STATUS[flags & 15] ?? '',
    flags: bits
      .filter(([, bit]) => flags & bit)
      .map(([name]) => name)
      .join(' '),
    question: question ? `${question.name}. ${question.class} ${question.type}` : '',
    answer: lines(got.answers),
    authority: lines(got.authorities),
    additional: lines(got.additionals),
    size: wire.length,
  }
}

const ask = (
  name: string,
  type: string,
  options: readonly string[],
  zone: CompatZone,
  random = Math.random,
): Buffer => {
  const transport = options.includes('+tcp') ? 'tcp' : 'udp'
  const got = compatReply(queryOf(name, type, options), transport, zone, OPTIONS, random)
  return Buffer.isBuffer(got) ? got : Buffer.alloc(0)
}

/** Serials are of the day of the recording. */
const unserial = (lines: readonly string[]): string[] =>
  lines.map(line => line.replace(/(ns1\.mesos\.) \d+ /, '$1 SERIAL ')).sort()

const [live = '', afterwards = ''] = transcript.split('## When the Mesos master goes away')
const [outage = '', seven = ''] = afterwards.split('## Additional section dropped')

const replay = (t: Test, block: Block, zone: CompatZone): void => {
  const want = printed(block.lines)
  const names = block.options.includes('+keepopen')
    ? [block.name, 'nosuch.marathon.mesos']
    : [block.name]
  want.forEach((message, i) => {
    const name = names[i] ?? ''
    const got = shown(ask(name, block.type, block.options, zone))
    const about = `dig ${block.command}`
    t.equal(got.status, message.status, about)
    t.equal(got.flags, message.flags, about)
    t.equal(got.question, message.question, about)
    t.strictSame(unserial(got.authority), unserial(message.authority), about)
    if (message.size < 0) return
    t.equal(got.size, message.size, about)
    if (!message.flags.includes('tc')) {
      t.strictSame([...got.answer].sort(), [...message.answer].sort(), about)
      // the server chooses any address of a target, so only owner, TTL and type are compared
      const owned = (lines: readonly string[]): string[] =>
        lines.map(line => line.slice(0, line.lastIndexOf(' '))).sort()
      t.strictSame(owned(got.additional), owned(message.additional), about)
      for (const line of message.additional) {
        const [owner = '', , , type = ''] = line.split(' ')
        const set = zone.find(owner.slice(0, -1))?.find(of => of.type === type)
        t.ok(set?.data.includes(line.slice(line.lastIndexOf(' ') + 1)), about)
      }
      return
    }
    const whole = shown(ask(name, block.type, ['+tcp'], zone)).answer
    t.equal(got.answer.length, message.answer.length, about)
    t.ok(
      got.answer.every(line => whole.includes(line)),
      about,
    )
    t.ok(
      message.answer.every(line => whole.includes(line)),
      about,
    )
    t.equal(got.additional.length, 0, about)
  })
}

t.test('every answer of the transcript is the answer here', async t => {
  const zones = new Map(
    ['127.0.1.1', '127.0.1.2', '127.0.1.3'].map(at => [at, zoneOf(recorded, at)]),
  )
  let asked = 0
  for (const block of blocksOf(live)) {
    const zone = zones.get(block.server)
    const outside = !/(^|\.)mesos$/i.test(block.name)
    if (zone === undefined || outside || block.type === 'AXFR') continue
    asked++
    replay(t, block, zone)
  }
  t.ok(asked > 60, `${asked} blocks`)
})

t.test('the zone of a master that has just failed over is nearly empty', async t => {
  const none = { ...recorded, frameworks: new Map(), agents: new Map(), tasks: new Map() }
  const [before = '', emptied = ''] = outage.split('A master that has just failed over')
  const [failed = '', after = ''] = emptied.split('Back to normal')
  for (const block of blocksOf(failed)) replay(t, block, zoneOf(none))
  for (const block of [...blocksOf(before), ...blocksOf(after)]) {
    if (printed(block.lines).length > 0) replay(t, block, zoneOf(recorded, block.server))
  }
})

t.test('additional records go first, and TC says so even where that was enough', async t => {
  const [block] = blocksOf(seven)
  t.ok(block)
  if (block) replay(t, block, zoneOf(workers(7)))
})

t.test('a malformed query gets what the real server gave', async t => {
  const zone = zoneOf(recorded)
  let asked = 0
  for (const [, hex = '', body = ''] of live.matchAll(
    /```\nraw udp query[^\n]*: ([0-9a-f]+)\n([^]*?)```/g,
  )) {
    asked++
    const got = compatReply(Buffer.from(hex, 'hex'), 'udp', zone, OPTIONS, Math.random)
    const want = body.trim().split('\n').pop() ?? ''
    if (/no reply/.test(body)) t.equal(got, undefined, hex)
    else t.equal(Buffer.isBuffer(got) ? got.toString('hex') : '', want, hex)
  }
  t.equal(asked, 6)
})

t.test('a name outside the zone is left to whoever answers those', async t => {
  const zone = zoneOf(recorded)
  for (const name of ['example.com', '.', 'notmesos', '1.0.0.10.in-addr.arpa']) {
    t.equal(compatReply(queryOf(name, 'A'), 'udp', zone, OPTIONS, Math.random), 'outside', name)
  }
})

t.test('a name outside the zone is refused where there are no resolvers', async t => {
  const zone = zoneOf(recorded)
  let asked = 0
  for (const block of blocksOf(live)) {
    if (/(^|\.)mesos$/i.test(block.name)) continue
    const [want] = printed(block.lines)
    const got = compatReply(
      queryOf(block.name, block.type),
      'udp',
      zone,
      { ...OPTIONS, refuseOutside: true },
      Math.random,
    )
    if (!want || !Buffer.isBuffer(got)) continue
    asked++
    const { status, flags, size } = shown(got)
    t.strictSame(
      { status, flags, size },
      { status: want.status, flags: want.flags, size: want.size },
      block.name,
    )
  }
  t.equal(asked, 3)
})

t.test('answers are shuffled and setTruncateBit can hide that they were cut', async t => {
  const zone = zoneOf(recorded)
  const orders = new Set<string>()
  for (let i = 0; i < 20; i++)
    orders.add(shown(ask('nginx.marathon.mesos', 'A', [], zone)).answer.join())
  t.ok(orders.size > 1)
  const hidden = compatReply(
    queryOf('worker.marathon.mesos', 'A'),
    'udp',
    zone,
    { ...OPTIONS, setTruncateBit: false },
    Math.random,
  )
  t.match(Buffer.isBuffer(hidden) && shown(hidden), { flags: 'qr aa rd ra', size: 503 })
})

t.test('a transfer is refused the way of the original: no such type', async t => {
  t.match(shown(ask('mesos', 'AXFR', ['+tcp'], zoneOf(recorded))), {
    status: 'NXDOMAIN',
    authority: [/^mesos\. 60 IN SOA ns1\.mesos\./],
  })
})

t.test('no query of any bytes makes it throw', async t => {
  const zone = zoneOf(recorded)
  const start = queryOf('_nginx._tcp.marathon.mesos', 'SRV')
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 80 }),
    fc.tuple(fc.nat(start.length - 1), fc.uint8Array({ maxLength: 8 })).map(([at, more]) => {
      const copy = Buffer.from(start)
      copy.set(more.subarray(0, copy.length - at), at)
      return copy
    }),
  )
  fc.assert(
    fc.property(bytes, fc.constantFrom('udp', 'tcp'), (query, transport) => {
      const got = compatReply(query, transport, zone, OPTIONS, Math.random)
      if (Buffer.isBuffer(got) && (got[0] !== query[0] || got[1] !== query[1] || got[2]! < 128))
        t.fail('it is no response to the query')
    }),
    { numRuns: 500 },
  )
  t.pass()
})
