FROM astrocrpublic.azurecr.io/runtime:3.3-2
# Compiled once here instead of in every task's process: Great Expectations imports three times as fast.
RUN python -m compileall -q "$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" || true
