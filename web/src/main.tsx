import 'uplot/dist/uPlot.min.css';
import './style/base.css';
import './style/controls.css';
import './style/parts.css';
import './style/shell.css';
import './style/views.css';
import './style/inbox.css';
import { Component, render, type ComponentChildren } from 'preact';
import { Button, Waiting } from './parts/ui';
import { t } from './state/text';
import { begin, who } from './state/who';
import { LoginView } from './views/login';
import { Shell } from './views/shell';

/** A view that breaks says so, and takes nothing else down. */
class Guard extends Component<{ children: ComponentChildren }, { error?: Error }> {
  override componentDidCatch(error: Error) {
    this.setState({ error });
  }

  override render() {
    if (!this.state.error) return this.props.children;
    return (
      <main class="login">
        <div class="card">
          <h1>{t('broken')}</h1>
          <pre>{String(this.state.error)}</pre>
          <Button kind="main" onClick={() => location.reload()}>
            {t('reload')}
          </Button>
        </div>
      </main>
    );
  }
}

function Page() {
  if (who.value === undefined) return <Waiting />;
  return who.value ? <Shell /> : <LoginView />;
}

render(
  <Guard>
    <Page />
  </Guard>,
  document.getElementById('app')!,
);
void begin();
