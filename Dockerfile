# docker build -t tcn-migrate . && docker run --rm -u "$(id -u):$(id -g)" -v "$PWD:/work" tcn-migrate old.h5 new.keras
FROM python:3.12-slim AS build
COPY . /source
RUN pip wheel --no-deps --wheel-dir /wheels /source

FROM python:3.12-slim
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir /wheels/*.whl && rm -r /wheels \
    && useradd --create-home --uid 1000 migrate && mkdir /work && chown migrate /work
# An ordinary user: a file from a stranger is read here, and needs no rights.
USER migrate
# Keras keeps its settings below the home folder, which another user (docker run -u) has none of.
ENV KERAS_HOME=/tmp/keras TF_CPP_MIN_LOG_LEVEL=3
WORKDIR /work
ENTRYPOINT ["tcn-migrate"]
CMD ["--help"]
