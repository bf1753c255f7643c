/** The sender of dnstap over real Unix sockets: readers that come, go, are slow, or do not speak the protocol. */
import t, { type Test } from 'tap'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { silent, type Fields } from '../../../src/base/log.ts'
import {
  DnstapSender,
  type DnstapCounts,
  type DnstapSenderOptions,
} from '../../../src/ops/dnstap/sender.ts'
import { ACCEPTED, controlFrame, dnstapReader } from '../../fixture/dnstap-reader.ts'

const dir = mkdtempSync(join(tmpdir(), 'spartan-test-'))
t.teardown(() => rmSync(dir, { recursive: true, force: true }))
let paths = 0
const newPath = (): string => join(dir, `${++paths}.sock`)

const until = async (so: () => boolean): Promise<void> => {
  while (!so()) await sleep(5)
}

const sender = (t: Test, path: string, more: Partial<DnstapSenderOptions> = {}) => {
  const counts: DnstapCounts = { sent: 0, noReader: 0, slowReader: 0, behind: 0 }
  const lines: string[] = []
  const note = (msg: string, fields: Fields = {}): void =>
    void lines.push([msg, fields['err']].filter(Boolean).join(': '))
  const one = new DnstapSender({
    path,
    counts,
    log: { ...silent, info: note, warn: note },
    random: () => 0.5,
    connect,
    retryMs: 5,
    ...more,
  })
  t.teardown(() => one.close())
  const say = (text: string): void => {
    if (one.takes()) one.add(Buffer.from(text))
  }
  return { one, counts, lines, say }
}

t.test('what is added is sent in order, and the end is agreed', async t => {
  const path = newPath()
  const reader = await dnstapReader(t, path)
  const { one, counts, say } = sender(t, path)
  await until(() => one.up)
  say('one')
  if (one.takes()) one.add(Buffer.from('two'), Buffer.from('three'))
  one.flush()
  await reader.until(() => reader.frames.length === 3)
  say('last')
  await one.close()
  t.strictSame(reader.frames.map(String), ['one', 'two', 'three', 'last'])
  t.strictSame(reader.controls, [4, 2, 3], 'READY, START, STOP')
  t.match(counts, { sent: 3, noReader: 0 })
  t.equal(one.trouble, '')
})

t.test('without a reader queries are dropped and counted, until there is one', async t => {
  const path = newPath()
  const { one, counts, lines, say } = sender(t, path)
  await until(() => one.trouble !== '')
  t.equal(one.trouble, `there is no socket ${path}`)
  say('lost')
  one.flush()
  t.match(counts, { sent: 0, noReader: 1 })
  const reader = await dnstapReader(t, path)
  await until(() => one.up)
  t.equal(one.trouble, '')
  say('kept')
  one.flush()
  await reader.until(() => reader.frames.length === 1)
  t.equal(String(reader.frames[0]), 'kept')
  t.equal(lines.filter(line => line.includes('no reader')).length, 1, 'said once')
  t.equal(lines.at(-1), 'dnstap has a reader')

  reader.hangUp()
  await until(() => !one.up)
  await until(() => one.up)
  say('again')
  one.flush()
  await reader.until(() => reader.frames.length === 2)
  t.equal(reader.connections, 2)
  t.match(one.trouble, '')
})

t.test('a file that is no socket', async t => {
  const path = newPath()
  writeFileSync(path, 'text')
  const { one } = sender(t, path)
  await until(() => one.trouble !== '')
  t.equal(one.trouble, `nobody listens at ${path}`)
})

t.test('a reader that stops reading costs bounded memory', async t => {
  const path = newPath()
  const reader = await dnstapReader(t, path, { stuck: true })
  const { one, counts } = sender(t, path)
  await until(() => one.up)
  await reader.until(() => reader.controls.includes(2))
  const message = Buffer.alloc(10_000)
  let taken = 0
  for (let n = 0; n < 2000; n++) {
    if (one.takes()) {
      one.add(message)
      taken++
    }
    one.flush()
    if (n % 50 === 0) await sleep(1)
  }
  t.ok(taken * message.length < 4 * 2 ** 20, `${taken} taken`)
  t.equal(counts.slowReader, 2000 - taken)
  t.match(one.trouble, /too slow/)
  reader.resume()
  await reader.until(() => reader.frames.length === taken)
  await until(() => one.takes())
  t.equal(one.trouble, '')
})

t.test(
  'a reader that is stuck at the end is not waited for, and what it has not read is not sent',
  async t => {
    const path = newPath()
    const reader = await dnstapReader(t, path, { stuck: true })
    const { one, counts } = sender(t, path, { finishMs: 20 })
    await until(() => one.up)
    await reader.until(() => reader.controls.includes(2))
    for (let n = 0; one.takes(); n++) {
      one.add(Buffer.alloc(10_000))
      one.flush()
    }
    await one.close()
    t.notOk(one.up)
    t.ok(counts.noReader > 0, 'counted as dropped')
  },
)

t.test('what is no reader is left, and tried again', async t => {
  for (const [hello, why] of [
    [Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'), /data instead of control frames/],
    [controlFrame(1, 'text'), /does not accept protobuf:dnstap\.Dnstap/],
    [controlFrame(5), /FINISH at the wrong moment/],
    [Buffer.alloc(100_000), /control frame of 0 octets/],
    [Buffer.alloc(0), /does not begin the handshake/],
    [ACCEPTED.subarray(0, 20), /does not begin the handshake/],
  ] as const) {
    const path = newPath()
    const reader = await dnstapReader(t, path, { hello })
    const { one, say } = sender(t, path, { acceptMs: 50 })
    await until(() => one.trouble !== '')
    t.match(one.trouble, why)
    say('nothing')
    await reader.until(() => reader.connections >= 2)
    reader.behave({})
    reader.hangUp()
    await until(() => one.up)
    t.strictSame(reader.frames, [], 'no data before the handshake')
    t.equal(one.trouble, '')
  }
})

t.test('it can be closed at any moment', async t => {
  const path = newPath()
  const { one } = sender(t, path)
  await one.close()
  const { one: retrying } = sender(t, path, { retryMs: 60_000 })
  await until(() => retrying.trouble !== '')
  await retrying.close()
  await dnstapReader(t, path, { hello: Buffer.alloc(0) })
  const { one: waiting } = sender(t, path)
  await waiting.close()
  await waiting.close()
  t.pass('all of them end')
})
