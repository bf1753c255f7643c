/** A machine of a test sees nothing of the machines and tests that run at the same time. */
import { mkdirSync, rmSync } from 'node:fs'
import t from 'tap'
import { boot, cannotBoot } from '../fixture/booted.ts'

t.test(
  'of two machines at once neither has the control groups of the other, and neither the namespaces of this host',
  { skip: cannotBoot() },
  async t => {
    const [one, other] = [await boot(t, () => {}), await boot(t, () => {})]
    t.equal(one.run('systemd-run --quiet --unit=only-here sleep 600').status, 0)
    const groups = 'find /sys/fs/cgroup -name only-here.service'
    t.match(await one.until(`${groups} | grep .`), /only-here/)
    t.equal(other.run(groups).out, '')
    const outside = `/etc/netns/outside-${process.pid}`
    mkdirSync(outside, { recursive: true })
    t.teardown(() => rmSync(outside, { recursive: true }))
    t.equal(one.run('ls -d /etc/netns').out, '', 'those would change its /etc')
  },
)
