/**
 * dnstap from the whole daemon: fstrm_capture listens and dnstap-read prints, and readers that come late, leave or are
 * stuck, beside queries that are answered all the time.
 */
import t, { type Test } from 'tap'
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ownAddress } from '../fixture/address.ts'
import { ask, openTcp, query } from '../fixture/client.ts'
import { daemon, type Daemon } from '../fixture/daemon.ts'
import { dig, have } from '../fixture/dig.ts'
import { decode, dnstapReader, messageIn } from '../fixture/dnstap-reader.ts'
import { A } from '../fixture/rr.ts'
import { upstream } from '../fixture/upstream.ts'
import { framed } from '../fixture/wire.ts'

const dir = mkdtempSync(join(tmpdir(), 'spartan-test-'))
t.teardown(() => rmSync(dir, { recursive: true, force: true }))
let paths = 0
const newPath = (ending: string): string => join(dir, `${++paths}.${ending}`)

const external = await upstream(t, [
  A('www.example.org. 300 203.0.113.1'),
  ...Array.from({ length: 40 }, (_, n) => ({
    name: 'big.example.org',
    type: 'TXT',
    ttl: 300,
    data: `${n} ${'x'.repeat(200)}`,
  })),
])

const until = async (so: () => boolean | Promise<boolean>): Promise<void> => {
  while (!(await so())) await sleep(20)
}
const sent = async (one: Daemon, queries: number): Promise<void> =>
  until(async () => (await one.metric('dnstap_sent_total')) >= queries)
const dropped = (one: Daemon, reason: string): Promise<number> =>
  one.metric('dnstap_dropped_total', { reason })
const trouble = async (one: Daemon): Promise<string> => {
  const { notes = [] } = (await one.status())['health'] as { notes?: { name: string; detail: string }[] }
  return notes.find(({ name }) => name === 'dnstap')?.detail ?? ''
}
