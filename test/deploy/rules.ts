/** The recording rules, checked and run by promtool. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'

const noPromtool = spawnSync('promtool', ['--version']).error !== undefined

t.test(
  'promtool agrees with the recording rules and what they come to',
  { skip: noPromtool && 'SKIPPED: promtool is not installed' },
  async t => {
    const rules = join(import.meta.dirname, '../../deploy/prometheus/rules.yaml')
    for (const args of [
      ['check', 'rules', rules],
      ['test', 'rules', join(import.meta.dirname, 'rules.test.yaml')],
    ]) {
      const { status, stdout, stderr } = spawnSync('promtool', args, { encoding: 'utf8' })
      t.equal(status, 0, stdout + stderr)
    }
  },
)
