/**
 * What we use of undici, to be loaded at the first exchange. A bundle gives a package that is imported dynamically no
 * names of its own, because it is CommonJS; this module has them.
 */
export { Agent, request } from 'undici'
