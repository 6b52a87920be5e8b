// Elements of the page. Whatever a model or a file says goes in as text, never as HTML.

export function element(name, {text, ...properties} = {}, ...children) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  Object.assign(made, properties);
  made.append(...children);
  return made;
}

export const note = (text) => element('p', {className: 'note', text});
