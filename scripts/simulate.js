// usage: npm run simulate -- --nodes 1000 --loss 0.1 [--svg FILE] [--help]
// Runs the gossip's state machines on a virtual clock and network; see src/control/gossip/sim/.
// What is weighed is weighed as the daemon runs, with its young generation kept small.
if (process.argv.includes('--memory')) await import('../dist/heap.js').catch(() => {})
const before = process.memoryUsage()
const { simulate } = await import('../dist/control/gossip/sim/main.js').catch(er => {
  if (er.code !== 'ERR_MODULE_NOT_FOUND') throw er
  process.stderr.write('the simulator runs from dist: npm run build first\n')
  process.exit(1)
})
process.exitCode = simulate(process.argv.slice(2), { before })
