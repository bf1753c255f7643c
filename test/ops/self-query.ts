import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import dnsPacket from 'dns-packet'
import t, { type Test } from 'tap'
import { SelfAsker } from '../../src/ops/self-query.ts'

/** A server that sends one reply to everything; without `reply` it is silent. */
const server = async (t: Test, address: string, reply?: (query: dnsPacket.Packet) => Buffer) => {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4')
  t.teardown(() => socket.close())
  const asked: dnsPacket.Packet[] = []
  const ports = new Set<number>()
  socket.on('message', (wire, from) => {
    const query = dnsPacket.decode(wire)
    asked.push(query)
    ports.add(from.port)
    if (reply) socket.send(reply(query), from.port, from.address)
  })
  socket.bind(0, address)
  await once(socket, 'listening')
  return { at: { address, port: socket.address().port }, asked, ports }
}

const answer = ({ id, questions }: dnsPacket.Packet, rcode = 0): Buffer =>
  dnsPacket.encode({
    type: 'response',
    ...(id === undefined ? {} : { id }),
    ...(questions ? { questions } : {}),
    flags: rcode,
    answers: rcode ? [] : [{ name: 'ready.spartan', type: 'A', ttl: 60, data: '127.0.0.1' }],
  })

const ask = async (t: Test, ...of: ConstructorParameters<typeof SelfAsker>) => {
  const asker = new SelfAsker(...of)
  t.teardown(() => asker.close())
  return asker.ask()
}

// This test comes first: it counts open sockets, and those of a test before it would still be closing.
const noProc = existsSync('/proc/self/fd') ? false : 'SKIPPED: there is no /proc here'
t.test(
  'it keeps nothing alive between two queries, and nothing open after its end',
  { skip: noProc },
  async t => {
    const { at } = await server(t, '127.12.5.10', query => answer(query))
    const active = (kind: string): number =>
      process.getActiveResourcesInfo().filter(each => each === kind).length
    const open = (): number => readdirSync('/proc/self/fd').length
    const before = { timers: active('Timeout'), sockets: active('UDPWrap'), open: open() }
    const asker = new SelfAsker(at)
    t.match(await asker.ask(), { ok: true })
    t.equal(active('Timeout'), before.timers)
    t.equal(active('UDPWrap'), before.sockets)
    t.equal(open(), before.open + 1, 'its socket')
    asker.close()
    for (let turns = 0; turns < 100 && open() > before.open; turns++) await setImmediate()
    t.equal(open(), before.open)
  },
)

t.test('it asks for ready.spartan and is content with its address', async t => {
  const { at, asked } = await server(t, '127.12.5.1', query => answer(query))
  t.strictSame(await ask(t, at), { ...at, ok: true, error: '' })
  t.match(asked, [{ type: 'query', questions: [{ name: 'ready.spartan', type: 'A' }] }])
})

t.test('it says what was wrong with the answer, or that there was none', async t => {
  const refusing = await server(t, '127.12.5.2', query => answer(query, 5))
  t.match(await ask(t, refusing.at), { ok: false, error: /rcode 5/ })
  const garbling = await server(t, '127.12.5.3', () => Buffer.from('?'))
  t.match(await ask(t, garbling.at), { ok: false, error: /answers/ })
  const silent = await server(t, '127.12.5.4')
  t.match(await ask(t, silent.at, undefined, 50), { ok: false, error: /no answer/ })
  const other = await server(t, '127.12.5.7', query => answer({ ...query, id: 0xbeef }))
  t.match(await ask(t, other.at, undefined, 50), { ok: false, error: /no answer/ })
})

t.test('it outlives an address that cannot be reached', async t => {
  const { at } = await server(t, '127.12.5.5', query => answer(query))
  t.match(await ask(t, { ...at, address: '127.12.5.6' }), { ok: false, error: 'ECONNREFUSED' })
  // Connecting to the broadcast address fails: with ENETUNREACH on a host without any route, otherwise with EACCES.
  t.match(await ask(t, { address: '255.255.255.255', port: 53 }), {
    ok: false,
    error: /^(EACCES|ENETUNREACH)$/,
  })
  t.match(await ask(t, { address: '2001:db8::1', port: 53 }, undefined, 50), { ok: false })
})

t.test(
  'it asks through one socket while that is answered, and through another afterwards',
  async t => {
    let rcode = 0
    const { at, asked, ports } = await server(t, '127.12.5.8', query => answer(query, rcode))
    const asker = new SelfAsker(at)
    t.match(await asker.ask(), { ok: true })
    t.match(await asker.ask(), { ok: true })
    t.equal(ports.size, 1)
    rcode = 2
    t.match(await asker.ask(), { ok: false, error: /rcode 2/ })
    t.equal(ports.size, 1, 'a failure on the same socket')
    rcode = 0
    t.match(await asker.ask(), { ok: true })
    t.equal(ports.size, 2, 'is its last')
    t.equal(new Set(asked.map(({ id }) => id)).size, 4, 'each has an ID of its own')
    asker.close()
  },
)

t.test(
  'an address that is bound again is asked again, whatever its socket heard meanwhile',
  async t => {
    const address = '127.12.5.9'
    const bind = async (port: number) => {
      const socket = createSocket('udp4')
      socket.on('message', (wire, from) =>
        socket.send(answer(dnsPacket.decode(wire)), from.port, from.address),
      )
      socket.bind(port, address)
      await once(socket, 'listening')
      return socket
    }
    const first = await bind(0)
    const { port } = first.address()
    const asker = new SelfAsker({ address, port })
    t.match(await asker.ask(), { ok: true })
    first.close()
    t.match(await asker.ask(), { ok: false, error: 'ECONNREFUSED' })
    const second = await bind(port)
    t.match(await asker.ask(), { ok: true })
    asker.close()
    second.close()
  },
)
