/** What counts as a change of watched files. The real inotify and file system. */
import { readFileSync, renameSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { filesAt, readText, Watch } from '../../../src/control/feeds/watch.ts'

const watching = (t: Test, everyMs: number) => {
  const dir = t.testdir({ 'ours.yaml': 'one', 'other.log': '' })
  const file = join(dir, 'ours.yaml')
  let touches = 0
  const watch = new Watch([file], () => touches++, { everyMs, quietMs: 5 })
  t.teardown(() => watch.close())
  const until = async (count: number): Promise<void> => {
    while (touches < count) await sleep(5)
  }
  return { dir, file, until, touches: (): number => touches }
}

const replace = (file: string, text: string): void => {
  writeFileSync(`${file}.new`, text)
  renameSync(`${file}.new`, file)
}

t.test('a file beside ours that is written all the time is none of our changes', async t => {
  const { dir, file, until, touches } = watching(t, 60_000)
  replace(file, 'two')
  await until(1)
  for (let n = 0; n < 20; n++) {
    writeFileSync(join(dir, 'other.log'), `line ${n}\n`, { flag: 'a' })
    await sleep(15)
  }
  replace(file, 'three')
  await until(2)
  await sleep(50)
  t.equal(touches(), 2)
})

t.test('every kind of change is seen, of equal size and with an old time, too', async t => {
  const { file, until } = watching(t, 60_000)
  replace(file, 'two')
  await until(1)
  writeFileSync(file, 'TWO')
  await until(2)
  utimesSync(file, 1, 1)
  await until(3)
  replace(file, 'TWO')
  utimesSync(file, 1, 1)
  await until(4)
  t.pass()
})

t.test('a change is reported twice, for coarse times, and then seldom', async t => {
  const { until, touches, file } = watching(t, 20)
  // The first check of a new Watch always reports, because it has no earlier state to compare with.
  await until(2)
  await sleep(200)
  t.equal(touches(), 2, 'some ten checks later')
  replace(file, 'two')
  await until(4)
  await sleep(200)
  t.equal(touches(), 4)
})

t.test('where nothing changes, one check in 120 reports a change all the same', async t => {
  const { until } = watching(t, 10)
  await until(4)
  t.pass()
})

t.test('a path stands for a file, or for the files of a folder, in order', async t => {
  const dir = t.testdir({ 'b.json': '', 'a.yaml': '', '.c.json': '', 'd.txt': '' })
  const endings = ['.json', '.yaml']
  t.strictSame(await filesAt(dir, endings), [join(dir, 'a.yaml'), join(dir, 'b.json')])
  t.strictSame(await filesAt(join(dir, 'd.txt'), endings), [join(dir, 'd.txt')])
  await t.rejects(filesAt(join(dir, 'none'), endings), { code: 'ENOENT' })
})

t.test('a file is read up to a limit', async t => {
  const dir = t.testdir({ empty: '', fits: 'x'.repeat(100_000), more: 'x'.repeat(100_001) })
  const read = (name: string): Promise<string> => readText(join(dir, name), 100_000)
  t.equal(await read('empty'), '')
  t.equal(await read('fits'), 'x'.repeat(100_000))
  await t.rejects(read('more'), { code: 'EDATA' })
})

const linux = process.platform === 'linux' ? {} : { skip: 'SKIPPED: reads /proc' }
t.test('a file that reports no size is read up to the same limit', linux, async t => {
  t.equal(await readText('/proc/self/comm', 100), readFileSync('/proc/self/comm', 'latin1'))
  await t.rejects(readText('/proc/self/maps', 1_000), { code: 'EDATA' })
})
