// `order 17` in a chat becomes GET <baseUrl>/orders/17, and the fields of the JSON answer fill the reply.

function fill(template, fields, encode = String) {
  return template.replace(/\{([A-Za-z0-9_.]+)\}/g, (whole, path) => {
    const value = path.split('.').reduce((at, name) => (at !== null && typeof at === 'object' && Object.hasOwn(at, name) ? at[name] : undefined), fields);
    return value === undefined || value === null ? '' : encode(typeof value === 'object' ? JSON.stringify(value) : value);
  });
}

async function run(ctx, config, action, rest, hook) {
  const { chatId, id } = hook.data;
  let text;
  try {
    const url = new URL(fill(action.path, { rest }, encodeURIComponent), config.baseUrl);
    const headers = config.token ? { authorization: `Bearer ${config.token}` } : {};
    const answer = await ctx.net.fetch(url.href, { headers, timeoutMs: 5000 });
    if (!answer.ok) throw new Error(`the API answered with ${answer.status}`);
    text = fill(action.reply, JSON.parse(answer.body));
  } catch (error) {
    ctx.logger.warn('an action failed', { command: action.command, error: error.message });
    text = action.error || 'That did not work. Please try again later.';
  }
  await ctx.messages.reply(hook.sessionId, chatId, id, text);
}

module.exports = class HttpAction {
  async onEnable(ctx) {
    ctx.registerHook('message:received', (hook) => {
      const config = ctx.config;
      const { body, fromMe, isGroup } = hook.data;
      if (fromMe || !body || (isGroup && !config.groups)) return { continue: true };
      const text = body.trim();
      const action = (config.actions || []).find(({ command }) => command && text.toLowerCase().startsWith(command.toLowerCase()));
      if (!action) return { continue: true };
      // Not waited for: the call may take longer than a hook, and the next message is not to wait for it.
      run(ctx, config, action, text.slice(action.command.length).trim(), hook).catch((error) => ctx.logger.error('the reply failed', error));
      return { continue: false };
    }, 70);
  }
};
