/**
 * Loaded into each test process before tap's own TypeScript loader, and in its place: that one compiles every file
 * anew with the whole compiler, which took most of the time of a test that imports much (18 s of CPU for one that
 * imports the daemon; 1.6 s with this one).
 */
import { register } from 'node:module'

if (process.env['TAP'] === '1') {
  register('./typescript-hooks.js', import.meta.url)
  // With this set, tap's loader does not register itself.
  process.env['TAP_TYPE_STRIP_ONLY'] = '1'
  // The programs that a test starts are JavaScript.
  process.env['NODE_OPTIONS'] = (process.env['NODE_OPTIONS'] ?? '')
    .split(' ')
    .filter(option => !option.includes('/scripts/transpile.js'))
    .join(' ')
}
