/** The forwarder follows the masters in a real ZooKeeper. */
import t from 'tap'
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ownAddress } from '../fixture/address.ts'
import { ask } from '../fixture/client.ts'
import { daemon, PROGRAM } from '../fixture/daemon.ts'
import { securedMesos } from '../fixture/secured-mesos.ts'
import { hasZooKeeper, NO_ZOOKEEPER, zooKeeper } from '../fixture/zookeeper.ts'

t.setTimeout(380_000)
if (!hasZooKeeper) process.stderr.write(NO_ZOOKEEPER)

const master = async (t: { teardown(fn: () => unknown): unknown }, ip: string) => {
  const address = ownAddress()
  const cluster = { tasks: [{ id: 't', name: 'web', ips: [ip] }] }
  return { address, mesos: await securedMesos(t, { address, cluster }) }
}

/** What `spartan check --deep` prints. */
const deep = async (file: string, masters: object): Promise<string> => {
  writeFileSync(
    file,
    JSON.stringify({
      listen: { addresses: [ownAddress()], port: 5300 },
      admin: { listen: '', socket: '' },
      masters: { source: 'zk', ...masters },
    }),
  )
  // a process of its own: this one must go on to keep the masters' sessions alive
  const args = [PROGRAM, 'check', '--config', file, '--deep']
  return new Promise(resolve =>
    execFile(process.execPath, args, (_, out, err) => resolve(`${out}${err}`)),
  )
}

const patient = async (holds: () => Promise<boolean>): Promise<void> => {
  while (!(await holds())) await new Promise(resolve => setTimeout(resolve, 50))
}

t.test(
  'a new leader is asked at once, however the old one ended',
  { skip: !hasZooKeeper },
  async t => {
    const user = 'spartan:s3cret'
    const zk = await zooKeeper(t, ownAddress(), user)
    const [one, two, three] = [
      await master(t, '9.0.0.1'),
      await master(t, '9.0.0.2'),
      await master(t, '9.0.0.3'),
    ]
    const first = await zk.register(one.address, one.mesos.port, user)
    const second = await zk.register(two.address, two.mesos.port, user)
    const third = await zk.register(three.address, three.mesos.port, user)
    t.teardown(() => third.kill())
    const dir = t.testdir({})
    const secret = (name: string, text: string): string => {
      writeFileSync(join(dir, name), `${text}\n`, { mode: 0o600 })
      return join(dir, name)
    }
    const digest = secret('digest', user)
    const spartan = await daemon(t, {
      masters: { source: 'zk', zk: zk.url, zkDigest: digest },
      mesos: { master: 'zk' },
    })
    const good = await deep(join(dir, 'good.json'), { zk: zk.url, zkDigest: digest })
    t.match(good, /^masters\.zk +\S+ +answered in \d+ ms$/m, 'check --deep asks ZooKeeper')
    const zkDigest = secret('wrong', 'spartan:another')
    const bad = await deep(join(dir, 'bad.json'), { zk: zk.url, zkDigest })
    t.match(bad, /: masters\.zk: \S+: \S.*error -?\d+/, 'a wrong password')
    t.notOk(`${good}${bad}`.match(/s3cret|another/), 'no password is shown')
    const names = (ip: string) => async (): Promise<boolean> => {
      const reply = await ask(spartan.at, 'web.marathon.containerip.dcos.thisdcos.directory')
      return JSON.stringify(reply).includes(`"${ip}"`)
    }
    await patient(names('9.0.0.1'))
    const zkNames = JSON.stringify(await ask(spartan.at, 'zk-1.zk'))
    t.ok(
      [one, two, three].some(({ address }) => zkNames.includes(address)),
      zkNames,
    )
    // frozen: its stream stays open and says nothing more, its session with ZooKeeper expires
    first.freeze()
    await patient(names('9.0.0.2'))
    t.equal(one.mesos.streams(), 1, 'the old leader was left, not waited for')
    second.kill()
    await patient(names('9.0.0.3'))
    const said = `${JSON.stringify(spartan.log)}${await spartan.page('/v1/status')}`
    t.notOk(said.includes('s3cret'), 'no password is shown')
    t.equal(await spartan.stop(), 0)
  },
)
