/**
 * The page's one Trusted Types policy, made before any other module runs.
 * Workers may come from our own bundle only; there is deliberately no `createHTML`: nothing here writes HTML.
 */
interface PolicyFactory {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): unknown;
}

/** The address back, when it is a script of our own build; throws otherwise. */
export function ownScriptUrl(url: string, origin: string, dev: boolean): string {
  const resolved = new URL(url, origin);
  const own = resolved.origin === origin && (dev || resolved.pathname.startsWith('/assets/'));
  if (!own) throw new TypeError('a script from outside this build was refused');
  return resolved.href;
}

const factory = (globalThis as { trustedTypes?: PolicyFactory }).trustedTypes;
factory?.createPolicy('default', {
  createScriptURL: (url) => ownScriptUrl(url, location.origin, import.meta.env.DEV),
});
