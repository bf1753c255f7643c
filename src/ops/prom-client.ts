/**
 * What we use of prom-client, to be loaded after the start. A bundle gives a package that is imported dynamically no
 * names of its own, because it is CommonJS; this module has them.
 */
export { collectDefaultMetrics, Gauge, Registry } from 'prom-client'
