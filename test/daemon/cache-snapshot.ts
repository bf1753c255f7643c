import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { silent } from '../../src/base/log.ts'
import { CacheSnapshot } from '../../src/daemon/cache-snapshot.ts'
import { configOf } from '../fixture/config.ts'

t.test('two writes at once follow one another, and the file has the later state', async t => {
  const path = join(t.testdir(), 'cache')
  let dumps = 0
  let atOnce = 0
  const snapshot = new CacheSnapshot(
    {
      caughtUp: async () => {},
      restore: async () => ({ count: 0, otherRoute: 0, trouble: '' }),
      dump: async () => {
        const n = ++dumps
        t.equal(existsSync(`${path}.new`), false, 'the file of the write before is in its place')
        t.equal(++atOnce, 1)
        await new Promise(resolve => setImmediate(resolve))
        atOnce--
        return Buffer.from(`state ${n}`)
      },
    },
    silent,
  )
  await snapshot.start(configOf({ cache: { snapshot: path } }))
  await snapshot.read
  await Promise.all([snapshot.save(), snapshot.save()])
  t.equal(readFileSync(path, 'utf8'), 'state 2')
  await snapshot.close()
  t.equal(readFileSync(path, 'utf8'), 'state 3', 'written once more at the end')
  t.equal(snapshot.failures, 0)
})
