/** The forwarder follows the masters in a real ZooKeeper. */
import t from 'tap'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ownAddress } from '../fixture/address.ts'
import { ask } from '../fixture/client.ts'
import { daemon } from '../fixture/daemon.ts'
import { securedMesos } from '../fixture/secured-mesos.ts'
import { hasZooKeeper, NO_ZOOKEEPER, zooKeeper } from '../fixture/zookeeper.ts'

t.setTimeout(180_000)
if (!hasZooKeeper) process.stderr.write(NO_ZOOKEEPER)

const master = async (t: { teardown(fn: () => unknown): unknown }, ip: string) => {
  const address = ownAddress()
  const cluster = { tasks: [{ id: 't', name: 'web', ips: [ip] }] }
  return { address, mesos: await securedMesos(t, { address, cluster }) }
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
    const digest = join(t.testdir({}), 'digest')
    writeFileSync(digest, `${user}\n`, { mode: 0o600 })
    const spartan = await daemon(t, {
      masters: { source: 'zk', zk: zk.url, zkDigest: digest },
      mesos: { master: 'zk' },
    })
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
