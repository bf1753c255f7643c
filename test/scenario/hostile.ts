/**
 * Large amounts of bad input from clients and upstreams against the real daemon. It answers other clients
 * throughout, accepts no forgery, and sends only well-formed messages.
 */
import t from 'tap'
import type { Test } from 'tap'
import { createSocket } from 'node:dgram'
import { readFileSync } from 'node:fs'
import { ask, exchange, openTcp, query, type At, type Stream } from '../fixture/client.ts'
import { daemon, type Daemon } from '../fixture/daemon.ts'
import { masters } from '../fixture/masters.ts'
import {
  countLies,
  goodQueries,
  goodReplies,
  manyQuestions,
  mutate,
  mutations,
  optLies,
  pointerQueries,
  pointerReplies,
  rdlengthLies,
} from '../fixture/mutate.ts'
import { packets } from '../fixture/packets.ts'
import { seeded, seedOr } from '../fixture/random.ts'
import { A, SOA, data } from '../fixture/rr.ts'
import type { Asked } from '../fixture/upstream.ts'
import { decode, encode, framed } from '../fixture/wire.ts'

const seed = seedOr(20)
const soa = SOA('mesos. 60 ns1.mesos. root.ns1.mesos. 1 60 600 86400 60')
const rss = (d: Daemon): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${d.pid}/status`, 'utf8'))?.[1]) / 1024

/** A question that must always be answered. */
const alive = async (t: Test, d: Daemon): Promise<void> => {
  const started = performance.now()
  const raw =
    (await exchange(d.at, query('ready.spartan'), { timeout: 5_000 })) ??
    (await exchange(d.at, query('ready.spartan'), { timeout: 5_000 }))
  if (!raw) throw new Error(`no life after ${performance.now() - started} ms\n${d.words()}`)
  t.equal(decode(raw).answers.length, 1)
}

/**
 * Sends datagrams in batches, each with its own ID, and checks in between that the daemon answers. Those without a
 * reply (a socket's buffer may overflow) are sent once more, one by one.
 */
const pour = async (
  d: Daemon,
  messages: Iterable<Buffer>,
  count: number,
  alive: () => Promise<void>,
): Promise<{ replies: Buffer[]; unanswered: string[]; unwanted: number }> => {
  const replies: Buffer[] = []
  const unanswered: string[] = []
  let unwanted = 0
  const waiting = new Map<number, Buffer>()
  const socket = createSocket({ type: 'udp4', recvBufferSize: 4 << 20 })
  socket.on('message', raw => {
    replies.push(raw)
    if (raw.length < 2 || !waiting.delete(raw.readUInt16BE(0))) unwanted++
  })
  let sent = 0
  for (const bytes of messages) {
    if (sent++ === count) break
    if (bytes.length >= 2) bytes.writeUInt16BE(sent & 0xffff)
    if (bytes.length >= 12 && (bytes[2]! & 0x80) === 0) waiting.set(sent & 0xffff, bytes)
    socket.send(bytes, d.at.port, d.addresses[sent % 3]!.address)
    if (sent % 100 === 0) await new Promise(resolve => setImmediate(resolve))
    if (sent % 2_000 > 0) continue
    await alive()
    for (let n = 0; n < 20 && waiting.size > 0; n++)
      await new Promise(resolve => setTimeout(resolve, 5))
    for (const [, bytes] of waiting) {
      const raw = await exchange(d.at, bytes, { timeout: 4_000 })
      if (raw) replies.push(raw)
      else unanswered.push(bytes.toString('hex'))
    }
    waiting.clear()
  }
  socket.close()
  return { replies, unanswered, unwanted }
}

const wellFormed = (t: Test, replies: readonly Buffer[], says: string): void => {
  const bad = replies.flatMap(raw => {
    try {
      const m = decode(raw, { opaque: true })
      return m.qr && !m.z ? [] : [`QR ${m.qr} Z ${m.z}: ${raw.toString('hex')}`]
    } catch (er) {
      return [`${er}: ${raw.toString('hex')}`]
    }
  })
  t.same(bad.slice(0, 5), [], `${says}: ${replies.length} replies are well formed`)
}

t.test('mutated queries by the ten thousand leave it alive and polite', async t => {
  const three = await masters(t, [soa, A('web.mesos. 60 192.0.2.1')])
  const d = await daemon(t, { masters: three.config })
  const good = [...goodQueries(), ...packets('queries').map(p => p.bytes)]
  const before = rss(d)

  t.test('80,000 over UDP', async t => {
    const { replies, unanswered, unwanted } = await pour(d, mutations(seed, good), 80_000, () =>
      alive(t, d),
    )
    wellFormed(t, replies, 'UDP')
    t.same(unanswered.slice(0, 5), [], 'every query is answered')
    t.ok(unwanted < 100, `${unwanted} replies that came late or to what is no query`)
  })

  t.test('20,000 over TCP', async t => {
    const all = mutations(seed + 1, good)
    const random = seeded(seed + 2)
    const replies: Buffer[] = []
    let stream: Stream | undefined
    let over = true
    for (let sent = 0; sent < 20_000;) {
      if (!stream || over) {
        stream?.socket.destroy()
        const fresh: Stream = (stream = await openTcp(d.at))
        over = false
        void fresh.closed.then(() => (over = over || stream === fresh))
        fresh.socket.on('data', () => {})
      }
      const parts: Buffer[] = []
      for (let n = 0; n < 50; n++, sent++)
        parts.push(
          random.chance(0.02) ? random.bytes(random.int(8)) : framed(all.next().value as Buffer),
        )
      stream.socket.write(Buffer.concat(parts))
      for (let raw = await stream.next(5); raw; raw = await stream.next(0)) replies.push(raw)
      if (random.chance(0.3)) over = true
      if (sent % 1000 === 0) await alive(t, d)
    }
    stream?.socket.destroy()
    wellFormed(t, replies, 'TCP')
    t.ok(replies.length > 1_000, `${replies.length} replies`)
  })

  t.test('every known trick, one by one', async t => {
    const tricks = [
      ...pointerQueries(),
      ...optLies('query'),
      ...countLies(goodQueries()[1]!),
      ...packets(),
    ]
    for (const { says, bytes } of tricks) {
      for (const tcp of [true, ...(bytes.length < 9_000 ? [false] : [])]) {
        const isQuery = bytes.length >= 12 && (bytes[2]! & 0x80) === 0
        const raw = await exchange(d.at, bytes, { tcp, timeout: isQuery ? 8_000 : 30 })
        if (!isQuery) t.equal(raw, undefined, `${says}: not answered`)
        else if (!raw) t.fail(`${says}${tcp ? ', TCP' : ''}: no answer`)
        else wellFormed(t, [raw], says)
      }
    }
    for (let n = 0; n < 100; n++) {
      const raw = await exchange(d.at, manyQuestions().bytes, { tcp: true })
      if (!raw || decode(raw).rcode !== 1) t.fail('64 KB of pointers: FORMERR')
    }
    await alive(t, d)
  })
  t.ok(rss(d) - before < 120, `it grew by ${Math.round(rss(d) - before)} MiB`)
  t.equal(d.stray, '')
})

t.test('50,000 forged replies: none is believed', async t => {
  const truth = (n: number): string => `192.0.2.${n + 1}`
  const three = await masters(t, [
    soa,
    ...Array.from({ length: 10 }, (_, n) => A(`t${n}.mesos. 60 ${truth(n)}`)),
    { delay: 1_000 },
  ])
  const d = await daemon(t, { masters: three.config })
  const up = three.at(0)
  const random = seeded(seed)
  let sent = 0
  for (let n = 0; n < 10; n++) {
    const name = `t${n}.mesos`
    const answer = ask(d.addresses[n % 3]!, name)
    const asked = await up.heard({ name })
    const lie = (id: number, type = 'A', about = name): Buffer =>
      encode({
        id,
        flags: ['qr', 'ra', 'rd'],
        questions: [{ name: about, type, class: 'IN' }],
        answers: [A(`${about}. 60 203.0.113.66`)],
      })
    const strangers = await Promise.all(
      Array.from({ length: 5 }, async () => {
        const socket = createSocket('udp4')
        await new Promise<void>(resolve => socket.bind(0, up.address, resolve))
        return socket
      }),
    )
    for (let round = 0; round < 5_000; round++, sent++) {
      // The right port and server with a wrong ID; or the right ID from another address, or for another question.
      const wrongId = (asked.id + 1 + random.int(65_535)) & 0xffff
      if (round % 2 === 0) up.send(lie(wrongId), asked)
      else if (round % 8 === 1) up.send(lie(asked.id, 'A', 'victim.example.org'), asked)
      else if (round % 8 === 3) up.send(lie(asked.id, 'AAAA'), asked)
      else strangers[round % 5]!.send(lie(asked.id), asked.port, asked.address)
      if (round % 200 === 0) await new Promise(resolve => setImmediate(resolve))
    }
    for (const socket of strangers) socket.close()
    t.same(data((await answer).answers), [truth(n)], `${name}: the true answer`)
  }
  t.ok(sent >= 50_000)
  t.not((await ask(d.at, 'victim.example.org')).status, 'NOERROR', 'the victim is not in the cache')
  await alive(t, d)
})

t.test(
  'mutated replies from a master never make a malformed answer, and a good master still wins',
  async t => {
    const random = seeded(seed + 3)
    const three = await masters(t, [soa])
    const answer = (asked: Asked): Buffer =>
      encode({
        id: asked.id,
        flags: ['qr', 'aa', 'rd'],
        questions: [asked],
        answers: [A(`${asked.name}. 60 192.0.2.7`)],
        edns: {},
      })
    // Which reply wins is the question here, not when: these masters run in this busy process.
    const d = await daemon(t, { masters: three.config, race: { deadline: '20s' } })
    const shapes = [
      ...goodReplies(),
      ...packets('replies').map(p => p.bytes),
      ...packets('odd').map(p => p.bytes),
    ]
    three.at(0).set([{ raw: asked => mutate(random, answer(asked), random.pick(shapes)) }])
    three.at(1).set([{ raw: asked => mutate(random, answer(asked)) }])
    three.at(2).set([{ raw: answer }])
    const replies: Buffer[] = []
    for (let n = 0; n < 3_000; n += 50) {
      replies.push(
        ...(await Promise.all(
          Array.from(
            { length: 50 },
            async (_, i) =>
              (await exchange(d.at, query(`m${n + i}.mesos`, 'A', { edns: {} }), {
                timeout: 25_000,
              }))!,
          ),
        )),
      )
    }
    wellFormed(t, replies, 'to clients')
    t.equal(replies.length, 3_000)
    const wrong = replies.filter(raw => decode(raw, { opaque: true }).rcode === 2)
    t.equal(wrong.length, 0, 'nobody got SERVFAIL')
    await alive(t, d)
    t.equal(d.stray, '')
  },
)

t.test('RDLENGTH lies of every type shift no neighbour', async t => {
  const three = await masters(t, [soa], { count: 1 })
  const d = await daemon(t, { masters: three.config })
  const lies = [
    ...rdlengthLies(),
    ...pointerReplies(),
    ...optLies('reply'),
    ...countLies(goodReplies()[0]!),
  ]
  let turn = 0
  // The false reply's question is web.mesos; the name asked is one label longer, so that each is new.
  three.at(0).set([
    {
      when: asked => /^l\d+\.mesos$/.test(asked.name),
      raw: asked => lieFor(asked, lies[Number(asked.name.slice(1, -6))]!.bytes),
    },
  ])
  const odd: string[] = []
  for (; turn < lies.length; turn += 300) {
    await Promise.all(
      lies.slice(turn, turn + 300).map(async ({ says }, i) => {
        const raw = await exchange(d.at, query(`l${turn + i}.mesos`, 'A', { edns: {} }))
        if (!raw) return odd.push(`${says}: no answer`)
        const m = decode(raw, { opaque: true })
        const addresses = m.answers.filter(r => r.type === 'A').map(r => r.data.split(' ')[2])
        // Any other record shows that the message was read at a wrong offset.
        const known = new Set([
          'c0000201',
          'c0000202',
          '',
          '01',
          'c00c00',
          'c000020109',
          '01'.repeat(17),
        ])
        if (m.rcode === 0 && addresses.some(a => !known.has(a ?? '')))
          odd.push(`${says}: ${addresses.join(' ')}`)
        return undefined
      }),
    )
  }
  t.same(odd, [])
  await alive(t, d)
})

/** The false reply with this query's ID and name; pointers to the question still point there. */
const lieFor = (asked: Asked, lie: Buffer): Buffer => {
  const name = asked.raw.subarray(12, asked.raw.indexOf(0, 12) + 1)
  const web = Buffer.from('03776562056d65736f7300', 'hex')
  const rest =
    lie.subarray(12).indexOf(web) === 0 ? lie.subarray(12 + web.length) : lie.subarray(12)
  const out = Buffer.concat([lie.subarray(0, 12), name, rest])
  out.writeUInt16BE(asked.id)
  return out
}

t.test('TCP clients that are rude cost nobody else anything', async t => {
  const three = await masters(t, [soa, A('web.mesos. 60 192.0.2.1')])
  const d = await daemon(t, { masters: three.config, cache: { maxBytes: '8MiB' } })
  const at: At = d.at
  const rude: Stream[] = []
  for (let n = 0; n < 50; n++) {
    const stream = await openTcp(at)
    rude.push(stream)
    if (n % 5 === 0) stream.socket.write(Buffer.from([0]))
    if (n % 5 === 1) stream.socket.write(Buffer.from([0, 0]))
    if (n % 5 === 2) stream.socket.write(Buffer.from([0, 200, 1, 2, 3]))
    if (n % 5 === 3) stream.socket.write(Buffer.from([255, 255]))
    if (n % 5 === 4) {
      stream.socket.pause()
      stream.socket.write(
        Buffer.concat(
          Array.from({ length: 2_000 }, (_, i) => framed(query('web.mesos', 'A', { id: i }))),
        ),
      )
    }
  }
  t.match(await ask(at, 'web.mesos', 'A', { tcp: true }), { status: 'NOERROR' })
  t.match(await ask(at, 'web.mesos'), { status: 'NOERROR' })
  for (const { socket } of rude) socket.resetAndDestroy()
  t.match(await ask(at, 'web.mesos', 'A', { tcp: true }), { status: 'NOERROR' })
  await alive(t, d)
})
