// usage: npm run simulate -- --nodes 1000 --loss 0.1 [--svg FILE] [--help]
// Runs the gossip's state machines on a virtual clock and network; see scripts/simulate/.
// What is weighed is weighed as the daemon runs: its young generation kept small, freed memory given back.
let trim
if (process.argv.includes('--memory')) {
  await import('../.build/src/base/heap.js').catch(() => {})
  trim = await import('../.build/src/data/io/libc.js')
    .then(({ loadLibc }) => loadLibc())
    .then(
      libc => libc.trim,
      () => undefined,
    )
}
// The library that returns memory to the system is loaded before the measurement begins.
const before = process.memoryUsage()
const { simulate } = await import('../.build/scripts/simulate/main.js').catch(er => {
  if (er.code !== 'ERR_MODULE_NOT_FOUND') throw er
  process.stderr.write('the simulator runs from .build: npm run scripts first\n')
  process.exit(1)
})
process.exitCode = simulate(process.argv.slice(2), { before, trim })
