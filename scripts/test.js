#!/usr/bin/env node
/**
 * Usage: node scripts/test.js [FILE...]
 *
 * Runs the tests with tap, two files at a time, each for 600 s at most (a bound
 * for what hangs; a file of many daemons takes 180 s beside a load of ten), prints failing assertions in
 * full, what their files said in comments, and every skip with its reason, and closes with one plain line that
 * counts assertions: `N passed, N failed, N skipped`. Fails when something
 * failed, and when nothing ran. The whole TAP output is kept in
 * .tap/report.tap (of some files: report-part.tap). Plain JavaScript, because Node 20 cannot run TypeScript
 * and this must work before anything is built.
 */
import { spawn } from 'node:child_process'
import { createWriteStream, mkdirSync, readdirSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { TapReader } from './tap-reader.js'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')

/** Folders below test/ that contain helpers. */
const NOT_TESTS = new Set(['fixture', 'fixture-data', 'packets', 'node_modules'])

/** @returns {string[]} every test file below `folder`, relative to the root */
const testFiles = folder =>
  readdirSync(folder, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap(entry => {
      const path = join(folder, entry.name)
      if (entry.isDirectory()) return NOT_TESTS.has(entry.name) ? [] : testFiles(path)
      return entry.name.endsWith('.ts') && !entry.name.endsWith('.d.ts')
        ? [relative(root, path)]
        : []
    })

const asked = process.argv.slice(2)
const files =
  asked.length > 0 ? asked.map(file => relative(root, file)) : testFiles(join(root, 'test'))

mkdirSync(join(root, '.tap'), { recursive: true })
const reportPath = join('.tap', asked.length > 0 ? 'report-part.tap' : 'report.tap')
const report = createWriteStream(join(root, reportPath))
const started = Date.now()
const reader = new TapReader(line => process.stdout.write(`${line}\n`))

const options = [
  process.env['NODE_OPTIONS'],
  `--import=${new URL('transpile.js', import.meta.url)}`,
]
const tap = spawn(
  process.execPath,
  [
    join(root, 'node_modules', 'tap', 'dist', 'esm', 'run.mjs'),
    '-R',
    'tap',
    '--disable-coverage',
    '--jobs=2',
    '--timeout=600',
    ...files,
  ],
  {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, NODE_OPTIONS: options.join(' ') },
  },
)
const ended = new Promise(resolve => {
  tap.once('exit', (code, signal) => resolve(signal ?? code))
  tap.once('error', er => resolve(er.message))
})
for await (const line of createInterface({ input: tap.stdout, crlfDelay: Infinity })) {
  report.write(`${line}\n`)
  reader.line(line)
}
const status = await ended
reader.end()
report.end()

const { passed, failures, comments, skips, filesSeen } = reader
let failed = failures.length
if (failed === 0 && status !== 0) {
  failed = 1
  console.log(`tap itself ended with ${status}: see ${reportPath}`)
}
if (filesSeen < files.length) {
  failed++
  console.log(`only ${filesSeen} of ${files.length} files reported`)
}
if (passed + failed === 0) {
  failed = 1
  console.log('no test ran')
}
for (const { at, name, detail } of failures)
  console.log(`\nFAILED  ${[...at, name].join(' > ')}\n${detail.join('\n')}`)
for (const { file, lines } of comments)
  console.log(`\nSAID BY  ${file}\n${lines.map(line => `  ${line}`).join('\n')}`)
if (skips.length > 0)
  console.log(
    `\n${skips.map(({ at, reason }) => `SKIPPED ${at.join(' > ')}: ${reason}`).join('\n')}`,
  )
console.log(
  `\n${filesSeen} files, ${Math.round((Date.now() - started) / 1000)} s; counted are assertions`,
)
console.log(
  `${passed} passed, ${failed} failed${skips.length > 0 ? `, ${skips.length} skipped` : ''}`,
)
process.exitCode = failed > 0 ? 1 : 0
