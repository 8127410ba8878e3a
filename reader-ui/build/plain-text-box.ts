import type { Plugin } from 'vite';

const file = 'drawingSvg/drawTextBox.js';
const styled = "textElement.setAttribute('style', combinedStyle);";

/**
 * The measuring tools put a `style` attribute on their texts, which the content security policy drops with an error
 * for every label drawn. The same look is in `styles.css`; this removes the attribute and fails when the text changed.
 */
export function plainTextBox(): Plugin {
  return {
    name: 'tancho-plain-text-box',
    enforce: 'pre',
    transform(code, id) {
      if (!id.split('?')[0]?.endsWith(file)) return null;
      if (!code.includes(styled)) throw new Error(`${file} has changed: check whether it still writes style attributes`);
      return { code: code.replace(styled, ''), map: null };
    },
  };
}
