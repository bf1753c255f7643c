import { execFile, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { promisify } from 'node:util'
import t from 'tap'
import { look } from '../../src/demo/show.ts'

const main = new URL('../../dist/main.js', import.meta.url).pathname
const run = promisify(execFile)
/** Away from a demo that somebody may be running. */
const OFFSET = 60
const agent = (n: number, i = 1): string => `127.${53 + OFFSET}.${n}.${i}`

/** All lines up to the first one that `last` accepts; reading continues, so that the writer is never blocked. */
const linesUntil = (from: Readable, last: (line: string) => boolean): Promise<string[]> =>
  new Promise(resolve => {
    const lines: string[] = []
    createInterface({ input: from }).on('line', line => {
      lines.push(line)
      if (last(line)) resolve(lines)
    })
  })

t.test(
  'the demo shows a race, a hit, a lost master and a VIP, and a fourth agent joins by its file',
  async t => {
    const demo = spawn(process.execPath, [main, 'demo', '--offset', String(OFFSET)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const ended = new Promise<number | null>(resolve => demo.once('exit', resolve))
    t.teardown(async () => {
      demo.kill('SIGTERM')
      await ended
    })
    const text = (await linesUntil(demo.stdout, line => line.startsWith('Tasks come and go'))).join(
      '\n',
    )
    const spare = /--config (\S+agent-4\.yaml)/.exec(text)?.[1] ?? ''
    t.match(text, /race +127\.113\.0\.1:61053 127\.113\.0\.2:61053 127\.113\.0\.3:61053/)
    t.match(text, /winner +127\.113\.0\.\d:61053: positive/)
    t.match(text, /web\.marathon\.mesos → 192\.0\.2\.\d+/)
    t.match(
      text,
      /A master is killed: nobody waits for it\.\n +api-shop\.marathon\.mesos → 1\d\d\./,
    )
    t.match(text, /web\.marathon\.l4lb\.thisdcos\.directory → \d+\.\d+\.\d+\.\d+/)

    const tried = [...text.matchAll(/dig @(\S+) -p (\d+) (?:\+tcp )?(\S+)(?: SRV)?$/gm)]
    t.equal(tried.length, 5)
    for (const [, address, port, name] of tried) {
      t.equal((await look(name!, address!, Number(port))).rcode, 'NOERROR', name!)
    }

    const fourth = spawn(process.execPath, [main, 'run', '--config', spare], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const gone = new Promise(resolve => fourth.once('exit', resolve))
    t.teardown(async () => {
      fourth.kill('SIGTERM')
      await gone
    })
    const awaited = new Set(['"msg":"ready"', '"msg":"gossip is in step"'])
    await linesUntil(fourth.stdout, line => {
      for (const what of awaited) if (line.includes(what)) awaited.delete(what)
      return awaited.size === 0
    })
    const { stdout } = await run(process.execPath, [
      main,
      'members',
      '--admin',
      `http://${agent(1)}:62080`,
    ])
    t.match(stdout, /agent-4 .*alive/)
    const vip = 'web.marathon.l4lb.thisdcos.directory'
    let here = await look(vip, agent(4), 5300)
    for (let i = 0; i < 100 && here.answers.length === 0; i++) {
      await new Promise(resolve => setTimeout(resolve, 100))
      here = await look(vip, agent(4), 5300)
    }
    t.same(
      [...here.answers].sort(),
      [...(await look(vip, agent(1), 5300)).answers].sort(),
      'the same addresses on every agent',
    )
  },
)
